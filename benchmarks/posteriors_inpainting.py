"""The right halves of held-out images, by every rule at equal network calls: how often a classifier agrees.

    undiffuse train fashion-mnist --out RUN
    python benchmarks/classifier.py --out CLASSIFIER.safetensors
    python benchmarks/posteriors_inpainting.py RUN CLASSIFIER.safetensors [--images 256] [--calls 50]

A product with the network's Jacobian counts as two calls more, what each method took per image is printed.
Accuracy is the share of completed images that the classifier gives the true image's label, with its binomial
standard error; that of the true images is the ceiling. The error is the root mean square over the missing
pixels, in x_0's units ([-1, 1]): of one sample, and of the mean of several.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import undiffuse
from undiffuse.data import SOURCES
from undiffuse.metrics import load_features
from undiffuse.model import ReverseProcess
from undiffuse.posteriors import Constant, Flat, Known, Matched, Product, Replaced, Tweedie
from undiffuse.random import Streams
from undiffuse.samplers import DDIM, Ancestral, Resampled, Sampler, reverse, start
from undiffuse.schedules import grids

BLOCK = 64  # images at a time


@dataclass
class Method:
    """A rule, a sampler, and how many steps of it make up the calls; `copies` particles of every image."""

    rule: Callable[[ReverseProcess, Known], Product]
    sampler: Sampler
    cost: int = 1  # calls a step and row
    copies: int = 1

    def steps(self, calls: int) -> int:
        """As many as the calls of an image allow."""
        return max(2, calls // (self.cost * self.copies))


METHODS = {
    "Constant": Method(Constant, Ancestral()),
    "Replaced": Method(Replaced, Ancestral()),
    "Replaced, Resampled 2": Method(Replaced, Resampled(2), 2),
    "Replaced, Resampled 5": Method(Replaced, Resampled(5), 5),
    "Replaced, Resampled 10": Method(Replaced, Resampled(10), 10),
    "Matched Flat 0.25": Method(lambda m, r: Matched(m, r, Flat(0.25)), Ancestral()),
    "Matched Flat": Method(lambda m, r: Matched(m, r, Flat()), Ancestral()),
    "Matched Tweedie 1": Method(lambda m, r: Matched(m, r, Tweedie(1)), Ancestral(), 3),
    "Matched Tweedie 2": Method(lambda m, r: Matched(m, r, Tweedie(2)), Ancestral(), 5),
    "Matched Tweedie 1, DDIM": Method(lambda m, r: Matched(m, r, Tweedie(1)), DDIM(), 3),
    "Matched Tweedie 1, Resampled 2": Method(lambda m, r: Matched(m, r, Tweedie(1)), Resampled(2), 6),
}


class Counted(nn.Module):
    """The network, and the rows it was asked for: two for one of a product with its Jacobian."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.rows = network, 0

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """What the network says."""
        self.rows += len(x_t)
        found = self.network(x_t, t)
        if found.requires_grad:
            found.register_hook(self._count)
        return found

    def _count(self, g: Tensor) -> None:
        self.rows += 2 * len(g)


def complete(
    method: Method, model: ReverseProcess, x_0: Tensor, mask: Tensor, steps: int, draw: int
) -> Tensor:
    """Images like x_0 where the mask is True."""
    done = []
    for begin in range(0, len(x_0), BLOCK):
        true = x_0[begin : begin + BLOCK].repeat_interleave(method.copies, 0)
        product = method.rule(model, Known(true, mask.expand_as(true)))
        streams = Streams(
            "inpainting", draw, rows=range(begin * method.copies, begin * method.copies + len(true))
        )
        walk = reverse(
            product,
            start(product, true, streams),
            sampler=method.sampler,
            grid=grids.uniform(steps),
            generator=streams,
        )
        x = [x for _, x in walk][-1][:: method.copies]
        assert torch.equal(x[mask.expand_as(x)], x_0[begin : begin + BLOCK][mask.expand_as(x)])
        done.append(x)
    return torch.cat(done)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("classifier")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument(
        "--draws", type=int, default=1, help="samples of an image, of which the mean is taken"
    )
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    words = parser.parse_args()
    run, classifier = undiffuse.load(words.run), load_features(words.classifier)
    splits = SOURCES[words.data]().load()
    x_0, label = run.space.encode(splits.test[: words.images]), splits.test_labels[: words.images]
    mask = torch.zeros(1, *x_0.shape[1:], dtype=torch.bool)
    mask[..., : mask.shape[-1] // 2] = True
    counted = run.denoiser.network = Counted(run.denoiser.network.requires_grad_(False))

    def accuracy(x: Tensor) -> str:
        with torch.no_grad():
            right = (classifier.logits((x.clamp(-1, 1) + 1) / 2).argmax(1) == label).double().mean()
        return f"{right:.3f} +- {math.sqrt(float(right * (1 - right)) / len(x)):.3f}"

    def error(x: Tensor) -> float:
        return float((x.clamp(-1, 1) - x_0)[(~mask).expand_as(x)].square().mean().sqrt())

    print(f"{'true images':32s} accuracy {accuracy(x_0)}")
    print(f"{'right half black':32s} accuracy {accuracy(x_0.masked_fill(~mask, -1))}")
    for name in words.methods:
        method = METHODS[name]
        counted.rows, began, steps = 0, time.process_time(), method.steps(words.calls)
        with torch.no_grad():
            x = [complete(method, run.model, x_0, mask, steps, draw) for draw in range(words.draws)]
        calls = counted.rows / len(x_0) / words.draws
        print(
            f"{name:32s} accuracy {accuracy(x[0])}, error {error(x[0]):.3f}, of the mean of {len(x)} "
            f"{error(torch.stack(x).mean(0)):.3f}; {steps} steps, {calls:.0f} calls, "
            f"{time.process_time() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
