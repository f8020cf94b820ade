"""What beginning at a base costs, what its output's weight is worth, and how many steps a mixture needs.

python benchmarks/bases.py

First the cost of a training step with a base beside one without, as ratios in one run. Then the heartbeat, 20
bits that all follow from each other: the bound of the recipe heartbeat-fast after few steps of 256, without a
base, with one, and with one whose output has no weight (w_t = 0 in `undiffuse.bases.frequencies`). Then the
bits that an untrained model takes beyond the mixture that it begins at, on chains of growing length.
"""

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import torch
from torch import Tensor

from overhead import compare
from undiffuse import Denoiser
from undiffuse.bases import MixtureBase, fit
from undiffuse.bounds import evaluate
from undiffuse.estimate import Estimate
from undiffuse.kernels import Binomial, Gaussian
from undiffuse.networks import MLP
from undiffuse.objectives import Variational
from undiffuse.random import keyed
from undiffuse.recipes import load_data, override, read
from undiffuse.runs import Experiment, load
from undiffuse.schedules import ConstantFraction, LogLinear, grids

NUMBERS, BITS = Gaussian(LogLinear(8.0, -6.0)), Binomial(ConstantFraction())


def training(model: Denoiser, x_0: Tensor) -> Callable[[], None]:
    """Two steps' gradients of the bound."""
    objective = Variational(grid=grids.uniform(200))

    def steps() -> None:
        for number in range(2):
            objective(model, x_0, keyed("cost", number)).mean().backward()

    return steps


def clusters(count: int, values: int, rows: int) -> Tensor:
    """Rows about so many centres."""
    generator = keyed("clusters", count)
    centres = 3 * torch.randn(count, values, generator=generator)
    pick = torch.randint(count, (rows,), generator=generator)
    return centres[pick] + torch.randn(rows, values, generator=generator)


def costs() -> None:
    """The ratios."""
    bits = (torch.rand(2000, 784, generator=keyed("bits")) < 0.3).float()
    ours = Denoiser.on(fit([bits], BITS), MLP((784,), 1024, 3), BITS)
    plain = Denoiser(MLP((784,), 1024, 3), BITS)
    compare("784 bits, 1,024 units", training(ours, bits[:256]), training(plain, bits[:256]), 1.15)
    for name, rows in (("30 numbers", clusters(1, 30, 2000)), ("30, mixture of 4", clusters(4, 30, 2000))):
        base = fit([rows / rows.std(0)], NUMBERS)
        ours = Denoiser.on(base, MLP((30,), 256, outputs=2), NUMBERS)
        plain = Denoiser(MLP((30,), 256), NUMBERS)
        x_0 = (rows / rows.std(0))[:256]
        compare(f"{name}, 256 units", training(ours, x_0), training(plain, x_0), 1.15)


def heartbeat(steps: int, *changes: str) -> Estimate:
    """Bits of 20, of 1,000 sequences."""
    with TemporaryDirectory() as folder:
        words = [f"train.steps={steps}", "train.batch=256", *changes]
        experiment = Experiment.create(Path(folder) / "run", override(read("heartbeat-fast"), words))
        for _ in experiment.train():
            pass
        experiment.close()
        run = load(Path(folder) / "run")
        return run.evaluate(load_data(run.recipe).test[:1000], terms=200).total * 20


def main() -> None:
    costs()
    based = "parameterization=null"
    for steps in (600, 1200):
        print(f"heartbeat, {steps:5,} steps: without a base {heartbeat(steps)}", flush=True)
        print(f"{'with one':>34} {heartbeat(steps, based)}", flush=True)
        with mock.patch.object(Binomial, "sharpness", lambda _, t: 0 * t):
            print(f"{'with one, w_t = 0':>34} {heartbeat(steps, based)}", flush=True)
    rows = clusters(8, 5, 10_000) / 3
    base = fit([rows[:2000]], NUMBERS)
    assert isinstance(base, MixtureBase)
    exact = -base.log_prob(rows[2000:]).mean() / (5 * math.log(2))
    for steps in (10, 30, 100, 300, 1000):
        model = Denoiser.on(base, MLP((5,), 8, 1, outputs=2), NUMBERS)  # whose last layer is zero
        found = evaluate(model, rows[2000:], grid=grids.uniform(steps), terms=50).total - float(exact)
        print(f"mixture of {len(base.means)} in 5 dimensions, T = {steps:5,}: {found} bits/dim beyond it")


if __name__ == "__main__":
    main()
