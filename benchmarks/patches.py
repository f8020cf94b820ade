"""What a trained run on image patches gains over N(0, I), in bits per pixel, beside two baselines.

    undiffuse train dead-leaves --out runs/leaves
    python benchmarks/patches.py runs/leaves [EXAMPLES]

The baselines, fitted to x_0 of the same training patches: a Gaussian with a full covariance, scikit-
learn's mixture of 32, and one of our own. A component has too few patches for its covariance, and plain
EM can fall behind the single Gaussian; so ours lives where that Gaussian is white, starts from patches
sorted by distance from the mean, and shrinks towards balls there, C_k <- (1 - a) C_k + a tr(C_k)/D I.
Shrinkage and ridge are chosen on a tenth of the training patches, then all are fitted to all of them.
The standard errors take test patches as independent, which those cut from one photograph are not.
"""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

import undiffuse
from undiffuse.estimate import Estimate
from undiffuse.recipes import load_data

COMPONENTS, SWEEPS = 32, 2
RIDGE = 1e-3  # of scikit-learn's mixture
RIDGES = (1e-6, 1e-3, 1e-2, 3e-2, 1e-1)  # added to the single Gaussian's covariance
SHRINK = (0.1, 0.3, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0)

Density = Callable[[Tensor], Tensor]  # log p of every row of (B, D), nats


def main(folder: str, examples: int = 500) -> None:
    run = undiffuse.load(folder)
    splits = load_data(run.recipe)
    raw, channels = splits.test[:examples], run.shape[0]
    rows = baselines(run.space.encode(splits.train), run.space.encode(raw))
    report = run.evaluate(raw, terms=run.recipe["evaluate_terms"])
    rows += [("run, K - L_null", report.k_gain), ("run, full bound", report.gain)]
    print(f"{len(raw):,} test patches {run.shape}; gain over N(0, I), bits per pixel")
    for name, gain in rows:
        print(f"{name:<32} {gain.mean * channels:8.4f}  s.e. {gain.se * channels:.4f}")


def baselines(train: Tensor, test: Tensor) -> list[tuple[str, Estimate]]:
    """Gains of both on test patches (N, C, H, W), in bits per dimension."""
    train, test = train.flatten(1).double(), test.flatten(1).double()
    ridge = best(gaussian, train, RIDGES)
    mixed = partial(mixture, ridge=ridge)
    shrink = best(partial(mixed, sweeps=0), train, SHRINK)
    one, many = gaussian(train, ridge), mixed(train, shrink)
    found = {f"Gaussian, ridge {ridge:g}": one, f"{COMPONENTS} Gaussians, scikit-learn": theirs(train)}
    found |= {f"{COMPONENTS} Gaussians, shrunk by {shrink:g}": many}
    return [(name, over_null(fitted, test)) for name, fitted in found.items()]


def theirs(data: Tensor) -> Density:
    """scikit-learn's mixture with full covariances."""
    fitted = GaussianMixture(COMPONENTS, reg_covar=RIDGE, random_state=0).fit(data.numpy())
    return lambda x: torch.from_numpy(fitted.score_samples(x.numpy()))


def over_null(density: Density, x: Tensor) -> Estimate:
    null = -0.5 * (x.square().sum(1) + x.shape[1] * math.log(2 * math.pi))
    bits = (density(x) - null) / (x.shape[1] * math.log(2))
    return Estimate(float(bits.mean()), float(bits.std() / math.sqrt(len(x))))


def best(fit: Callable[[Tensor, float], Density], data: Tensor, options: Sequence[float]) -> float:
    """The option with the highest likelihood of every tenth row, fitted to the others."""
    held = torch.arange(len(data)) % 10 == 0
    return max(options, key=lambda option: float(fit(data[~held], option)(data[held]).mean()))


def gaussian(data: Tensor, ridge: float) -> Density:
    return normal(*moments(data, ridge))


def moments(data: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Mean and C + ridge I."""
    return data.mean(0), torch.cov(data.T, correction=0) + ridge * torch.eye(data.shape[1])


def normal(mean: Tensor, covariance: Tensor) -> Density:
    root = whitener(covariance)
    constant = float(root.diag().log().sum()) - 0.5 * len(mean) * math.log(2 * math.pi)
    return lambda x: constant - 0.5 * ((x - mean) @ root.T).square().sum(1)


def whitener(covariance: Tensor) -> Tensor:
    """W with W C W' = I."""
    lower = torch.linalg.cholesky(covariance)
    return torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=lower.dtype), upper=False)


def mixture(data: Tensor, shrink: float, ridge: float, sweeps: int = SWEEPS) -> Density:
    """Hard EM, in float32, on the data made white; in so many dimensions soft EM is hard too."""
    mean, covariance = moments(data, ridge)
    root = whitener(covariance)
    white = ((data - mean) @ root.T).float()
    label = white.square().sum(1).argsort().argsort() * COMPONENTS // len(data)
    parts = components(white, label, shrink)
    for _ in range(sweeps):
        parts = components(white, scores(parts, white).argmax(0), shrink)
    constant = float(root.diag().log().sum())
    return lambda x: constant + scores(parts, ((x - mean) @ root.T).float()).double().logsumexp(0)


def components(x: Tensor, label: Tensor, shrink: float) -> list[Density]:
    """log(weight) + log N of every component with two rows or more."""
    groups = [rows for k in range(COMPONENTS) if len(rows := x[label == k]) > 1]
    return [component(rows, math.log(len(rows) / sum(map(len, groups))), shrink) for rows in groups]


def component(rows: Tensor, log_weight: float, shrink: float) -> Density:
    mean, own = moments(rows, 0.0)
    density = normal(mean, torch.lerp(own, own.diag().mean() * torch.eye(len(own)), shrink))
    return lambda x: log_weight + density(x)


def scores(parts: list[Density], x: Tensor) -> Tensor:
    return torch.stack([part(x) for part in parts])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
