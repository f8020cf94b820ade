"""Held-out images of which little is seen, by every rule at equal calls: how often a classifier agrees.

    undiffuse train fashion-mnist --out RUN
    python benchmarks/classifier.py --out CLASSIFIER.safetensors
    python benchmarks/posteriors_inpainting.py RUN CLASSIFIER.safetensors [--images 256] [--calls 50] \\
        [--seen half|noisy|small]

Seen are the left half, the image in noise of std 0.5, or its 4x4 block means in noise of std 0.05. Replacing
is for known pixels only, and left out for the others.

A product with the network's Jacobian counts as two calls more, what each method took per image is printed.
Accuracy is the share of completed images that the classifier gives the true image's label, with its binomial
standard error; that of the true images is the ceiling. The error is the root mean square over the pixels
that are not known, in x_0's units ([-1, 1]), with its standard error over images: of one sample, and of the
mean of several.
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
from undiffuse.posteriors import Constant, Flat, Known, Linear, Matched, Noisy, Product, Replaced, Tweedie
from undiffuse.posteriors.operators import Downsample
from undiffuse.product import Factor
from undiffuse.random import Streams, keyed, normal
from undiffuse.samplers import DDIM, Ancestral, Resampled, Sampler, reverse, start
from undiffuse.schedules import grids

BLOCK = 64  # images at a time


@dataclass
class Method:
    """A rule, a sampler, and how many steps of it make up the calls; `copies` particles of every image."""

    rule: Callable[[ReverseProcess, Factor], Product]
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


def half(x_0: Tensor) -> tuple[Callable[[Tensor], Factor], Tensor]:
    """What makes the factor of some of the images, by their places, and the mask of what is known."""
    mask = torch.zeros(1, *x_0.shape[1:], dtype=torch.bool)
    mask[..., : mask.shape[-1] // 2] = True
    return lambda at: Known(x_0[at], mask.expand_as(x_0[at])), mask


def noisy(x_0: Tensor) -> tuple[Callable[[Tensor], Factor], Tensor]:
    """The images in noise."""
    seen = x_0 + 0.5 * normal(tuple(x_0.shape), keyed("noisy"), x_0.dtype)
    return lambda at: Noisy(seen[at], 0.5), torch.zeros(1, *x_0.shape[1:], dtype=torch.bool)


def small(x_0: Tensor) -> tuple[Callable[[Tensor], Factor], Tensor]:
    """Their block means, in a little noise."""
    operator = Downsample(4)
    seen = operator(x_0)
    seen = seen + 0.05 * normal(tuple(seen.shape), keyed("small"), x_0.dtype)
    return lambda at: Linear(operator, seen[at], 0.05), torch.zeros(1, *x_0.shape[1:], dtype=torch.bool)


SEEN = {"half": half, "noisy": noisy, "small": small}


def complete(
    method: Method,
    model: ReverseProcess,
    x_0: Tensor,
    seen: Callable[[Tensor], Factor],
    steps: int,
    draw: int,
) -> Tensor:
    """Images like x_0 in what is seen of them."""
    done = []
    for at in torch.arange(len(x_0)).split(BLOCK):
        rows = at.repeat_interleave(method.copies)
        first = int(at[0]) * method.copies
        product = method.rule(model, seen(rows))
        streams = Streams("inpainting", draw, rows=range(first, first + len(rows)))
        walk = reverse(
            product,
            start(product, x_0[rows], streams),
            sampler=method.sampler,
            grid=grids.uniform(steps),
            generator=streams,
        )
        done.append([x for _, x in walk][-1][:: method.copies])
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
    parser.add_argument("--seen", default="half", choices=list(SEEN))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    words = parser.parse_args()
    run, classifier = undiffuse.load(words.run), load_features(words.classifier)
    splits = SOURCES[words.data]().load()
    x_0, label = run.space.encode(splits.test[: words.images]), splits.test_labels[: words.images]
    seen, mask = SEEN[words.seen](x_0)
    counted = run.denoiser.network = Counted(run.denoiser.network.requires_grad_(False))

    def accuracy(x: Tensor) -> str:
        with torch.no_grad():
            right = (classifier.logits((x.clamp(-1, 1) + 1) / 2).argmax(1) == label).double().mean()
        return f"{right:.3f} +- {math.sqrt(float(right * (1 - right)) / len(x)):.3f}"

    def error(x: Tensor) -> str:
        each = ((x.clamp(-1, 1) - x_0) * ~mask).square().flatten(1).sum(1) / (~mask).sum()
        root = float(each.mean().sqrt())
        return f"{root:.3f} +- {float(each.std()) / (2 * root * math.sqrt(len(x))):.3f}"

    print(f"{'true images':32s} accuracy {accuracy(x_0)}")
    if bool(mask.any()):
        print(f"{'right half black':32s} accuracy {accuracy(x_0.masked_fill(~mask, -1))}")
    for name in words.methods:
        if name.startswith("Replaced") and not bool(mask.any()):
            continue
        method = METHODS[name]
        counted.rows, began, steps = 0, time.process_time(), method.steps(words.calls)
        with torch.no_grad():
            x = [complete(method, run.model, x_0, seen, steps, draw) for draw in range(words.draws)]
        known = mask.expand_as(x_0)
        assert all(torch.equal(each[known], x_0[known]) for each in x)
        calls = counted.rows / len(x_0) / words.draws
        print(
            f"{name:32s} accuracy {accuracy(x[0])}, error {error(x[0])}, of the mean of {len(x)} "
            f"{error(torch.stack(x).mean(0))}; {steps} steps, {calls:.0f} calls, "
            f"{time.process_time() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
