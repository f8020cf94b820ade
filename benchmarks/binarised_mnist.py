"""The bound on binarised MNIST in nats an image, beside models in closed form and a mixture of Bernoullis.

python benchmarks/binarised_mnist.py FOLDER --mnist FILE [--steps 8000] [--components 500]

Every pixel is one Bernoulli draw of its intensity, by NumPy's generator of seed 0, as in the literature,
whose draw differs. FILE is an .npz with x_train and x_test. An interrupted training goes on where it was.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from undiffuse.diffusion import evaluate
from undiffuse.estimate import Moments
from undiffuse.random import keyed
from undiffuse.runs import Experiment, load

PIXELS = 784


def binarised(source: Path, target: Path) -> None:
    """One draw of every pixel."""
    random, images = np.random.default_rng(0), np.load(source)
    drawn = {part: random.random(images[part].shape) * 255 < images[part] for part in ("x_train", "x_test")}
    np.savez_compressed(target, **{part: bits.reshape(-1, PIXELS) for part, bits in drawn.items()})


def recipe(data: Path, steps: int) -> dict[str, object]:
    """A plain MLP on vectors of bits that are hidden: learned faster than bits that are flipped."""
    return {
        "data": {"kind": "array", "path": str(data), "levels": 2},
        "network": {"kind": "mlp", "hidden": None, "layers": 3, "dropout": 0.1},
        "kernel": {"kind": "absorbing", "symbols": 2, "schedule": "constant-fraction"},
        "grid": {"kind": "uniform", "steps": 1000},
        "objective": "variational",
        "train": {
            "steps": steps,
            "batch": 256,
            "lr": 1e-3,
            "decay": "cosine",
            "beta2": 0.99,
            "weight_decay": 0.01,
            "ema": 0.999,
            "watch": 0.01,
            "patience": 0,
            "checkpoint_every": 500,
        },
        "evaluate_terms": 50,
    }


def mixture(train: Tensor, test: Tensor, components: int, rounds: int = 60) -> Tensor:
    """-log p of the test images by a mixture of Bernoullis, fitted by expectation and maximisation."""
    start = torch.randperm(len(train), generator=keyed("mixture"))[:components]
    probs, weights = 0.25 + 0.5 * train[start], torch.full((components,), 1 / components)
    for _ in range(rounds):
        share = _log_joint(train, probs, weights).softmax(1)
        size = share.sum(0)
        probs, weights = (share.T @ train + 0.1) / (size + 0.2).unsqueeze(1), (size + 1e-3) / size.sum()
    return -_log_joint(test, probs, weights).logsumexp(1)


def _log_joint(x: Tensor, probs: Tensor, weights: Tensor) -> Tensor:
    return x @ (probs.log() - (-probs).log1p()).T + (-probs).log1p().sum(1) + weights.log()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--components", type=int, default=500)
    parser.add_argument("--examples", type=int, default=10_000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    data = arguments.folder / "binarised.npz"
    if not data.exists():
        binarised(arguments.mnist, data)
    begin = time.perf_counter()
    experiment = Experiment.create(arguments.folder / "run", recipe(data, arguments.steps))
    for event in experiment.train():
        if event.watched is not None:
            nats, seconds = event.watched * PIXELS * math.log(2), time.perf_counter() - begin
            print(f"step {event.progress.step:6,}  watched {nats:8.2f} nats  {seconds:6.0f} s")
    images = {part: torch.from_numpy(bits) for part, bits in np.load(data).items()}
    found = evaluate(load(arguments.folder / "run"), images["x_test"][: arguments.examples].byte(), terms=50)
    scale = PIXELS * math.log(2)
    print(f"bound                   {found.bits * scale} nats an image")
    for name, (bits, _) in found.beside.items():
        print(f"{name:23} {bits * scale}")
    if arguments.components:
        others = Moments()
        others.add(
            mixture(images["x_train"].float(), images["x_test"].float(), arguments.components)[:, None]
        )
        print(f"mixture of {arguments.components:4} Bernoullis {others.estimates()[0]}")


if __name__ == "__main__":
    main()
