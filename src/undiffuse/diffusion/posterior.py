"""Draws of p(x_0) r(x_0): of one observation, or of many examples with holes at once.

Sample i of example e draws from its own stream and is computed in a block of fixed size, so it is the same
tensor however many are asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from undiffuse import samplers
from undiffuse.blocks import block_of
from undiffuse.devices import sent
from undiffuse.kernels import Discrete, Mixed
from undiffuse.model import ReverseProcess
from undiffuse.posteriors import RULES, Factor, Flat, Known, Matched, Product
from undiffuse.posteriors.belief import DENSE
from undiffuse.product import check_steps
from undiffuse.random import Streams, keyed, root
from undiffuse.samplers import Particles, Sampler
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

Factors = Callable[[range, int], Factor]  # of these examples, each repeated so often
APART = 2**40  # streams of one example
GROUP = 64  # particles, unless told
FEW = 16  # effective particles, below which rare ones of much weight are missed
FEWEST = 8  # samples that an example of many has in a block
METHODS = ("matched", "flat", "tilted", "constant", "annealed", "replaced")


@dataclass(frozen=True)
class Way:
    """How an observation enters: the `method`, and how often `replaced` makes every step.

    With `particles`, draws are weighed in groups of so many, which tends to the posterior whatever the
    method; with `groups` at least 2 the evidence is estimated from these. `steps` thins the chain.

    Raises ValueError for an unknown method, or options that do not go together.
    """

    method: str | None = None  # the one that was measured best
    times: int | None = None
    particles: int | None = None
    groups: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.method not in (None, *METHODS):
            raise ValueError(f"method {self.method}: one of {', '.join(METHODS)}")
        if self.times is not None and self.method != "replaced":
            raise ValueError(
                f"times={self.times}: it is the method replaced that makes every step several times"
            )
        if self.groups is not None and self.groups < 2:
            raise ValueError(f"groups={self.groups}: the error of the evidence needs at least two")
        self.sampler.init()

    def settled(self, model: ReverseProcess, shape: tuple[int, ...]) -> "Way":
        """With what was measured best where nothing was asked for: particles for examples of few numbers."""
        asked = (self.method, self.particles, self.groups) != (None, None, None)
        few = model.kernel.symbols is None and dims(shape) <= DENSE
        return self if asked or not few else replace(self, particles=GROUP)

    @property
    def sampler(self) -> Sampler:
        """What walks the product."""
        if self.group is not None:
            return Particles(self.group)
        if self.method == "replaced":
            return samplers.Resampled(10 if self.times is None else self.times)
        return samplers.Ancestral()

    @property
    def group(self) -> int | None:
        """Particles in a group."""
        return GROUP if self.groups is not None and self.particles is None else self.particles

    def product(self, model: ReverseProcess, factor: Factor) -> Product:
        """The model times the factor. Raises ValueError, naming what would work, if this way does not."""
        factor.check(model.kernel)
        check_steps(model.kernel)
        try:
            product: Any = model * factor if self.method is None else _make(self.method, model, factor)
            self.sampler.check(product)
        except ValueError as error:
            others = ", ".join(self.possible(model, factor))
            raise ValueError(f"method {self.method}: {error}; possible here: {others}") from error
        assert isinstance(product, Product)
        return product

    def possible(self, model: ReverseProcess, factor: Factor) -> list[str]:
        """Methods that go with this model, this factor and these particles."""
        by_law, known = isinstance(model.kernel, Discrete | Mixed), factor.pinned is not None
        rules = ["tilted"] if by_law else ["matched", "flat"]
        if self.group is None or not known:
            rules += ["constant", "annealed"]
        return rules + ["replaced"] * (self.group is None and isinstance(factor, Known))


def _make(method: str, model: ReverseProcess, factor: Factor) -> Product:
    """The product by the rule of this name."""
    return Matched(model, factor, Flat()) if method == "flat" else RULES[method](model, factor)


@dataclass(frozen=True)
class Drawn:
    """x_0 (examples, n, *shape), the method's name, the least effective share of a group, log Z in nats.

    `doubt` says why the samples, or log Z, are not to be relied on, if so.
    """

    x_0: Tensor
    method: str
    size: float | None = None
    log_evidence: float | None = None
    se: float | None = None
    doubt: str | None = None


@torch.no_grad()
def draw(
    model: ReverseProcess,
    factors: Factors,
    examples: int,
    n: int,
    shape: tuple[int, ...],
    *,
    seed: int,
    grid: Tensor,
    way: Way,
    track: Track = SILENT,
) -> Drawn:
    """n draws of each example's posterior. Raises ValueError for what does not go together."""
    _check(examples, n, way)
    alone = model.rows_alike(1)
    name = _name(way.product(alone, factors(range(1), 1)), way)

    def looked(rows: int) -> Product:
        return way.product(alone, factors(range(1), rows))

    each = way.group or (n if examples == 1 else min(n, FEWEST))
    most = block_of(model, shape, grid, examples * each, looked)
    size = way.group or (most if examples == 1 else min(FEWEST, most))
    together = max(1, min(examples, most // size))
    if way.groups is not None:
        return _weighed(alone, factors(range(1), 1), n, shape, seed, grid, way, name, track)
    key, done, shares = root(torch.Generator().manual_seed(seed)), [], []
    for begin, outer in track.over(range(0, examples, together)):
        several = range(begin, min(begin + together, examples))
        own = model.rows(torch.tensor(several).repeat_interleave(size))
        product = way.product(own, factors(several, size))
        blocks = []
        for first, inner in outer.over(range(0, n, size)):
            rows = [APART * e + first + i for e in several for i in range(size)]
            x, state = _walk(product, Streams(key, "sample", rows=rows), shape, grid, way.sampler, inner)
            blocks.append(x.view(len(several), size, *shape))
            if way.group is not None:
                blocks[-1] = _shuffled(blocks[-1], seed, first // size)
                shares.append(state.size / size)
        done.append(torch.cat(blocks, 1)[:, :n])
    share = float(torch.cat(shares).mean()) if shares else None
    return Drawn(torch.cat(done), name, share, doubt=_doubt(share, way.group))


def _weighed(
    model: ReverseProcess,
    factor: Factor,
    n: int,
    shape: tuple[int, ...],
    seed: int,
    grid: Tensor,
    way: Way,
    name: str,
    track: Track,
) -> Drawn:
    """The evidence, and draws that take turns in its groups."""
    group, groups = way.group, way.groups
    assert group is not None and groups is not None
    found = samplers.evidence(
        way.product(model, factor),
        shape,
        generator=torch.Generator().manual_seed(seed),
        particles=group,
        groups=groups,
        grid=grid,
        track=track,
    )
    mixed = torch.cat(
        [_shuffled(x[None], seed, g) for g, x in enumerate(found.x_0.view(groups, group, *shape))]
    )
    x_0 = mixed.transpose(0, 1).reshape(1, -1, *shape)[:, :n]
    doubt = _doubt(found.size, group)
    if found.unsure:
        apart = (
            f"groups differ by {float(found.log_z.std()):.2g} nats (standard deviation): log Z is likely more"
        )
        doubt = f"{apart}; raise --particles" if doubt is None else f"{apart}, and {doubt}"
    return Drawn(x_0, name, found.size, found.log_evidence, found.se, doubt)


def _doubt(share: float | None, group: int | None) -> str | None:
    """What is to be said of groups of which so small a share carries the weight."""
    if share is None or group is None or share * group >= FEW or share >= 0.5:
        return None
    few = f"{share * group:.1f} of {group} particles"
    return f"{few} carry the weight, so that samples are alike; raise --particles"


def _check(examples: int, n: int, way: Way) -> None:
    """Raise ValueError unless there are so many draws."""
    if n < 1:
        raise ValueError(f"n={n}: draw at least one sample")
    if way.groups is None or way.group is None:
        return
    if examples != 1:
        raise ValueError(f"the evidence is of one example at a time, these are {examples}")
    if n > way.group * way.groups:
        most = f"{way.groups} groups of {way.group} particles are {way.group * way.groups} draws"
        raise ValueError(f"n={n}: {most}")


def _walk(
    product: Product, streams: Streams, shape: tuple[int, ...], grid: Tensor, sampler: Sampler, track: Track
) -> tuple[Tensor, Any]:
    """x_0, a row a stream, and the sampler's last state."""
    x_1 = samplers.start(product, samplers.like_of(product, (len(streams), *shape)), streams)
    walk = samplers.reverse(product, x_1, sampler=sampler, grid=grid, generator=streams, track=track)
    return samplers.last(walk)


def _shuffled(x: Tensor, seed: int, group: int) -> Tensor:
    """(examples, K, *shape), in another order: neighbours in a group of particles have the same parents."""
    order = torch.randperm(x.shape[1], generator=keyed(seed, "order", group))
    return x[:, sent(order, x.device)]


def _name(product: Product, way: Way) -> str:
    """What was used, in words."""
    words = [type(product).__name__.lower()]
    if isinstance(product, Matched) and isinstance(product.spread, Flat):
        words = ["flat"]
    words += [f"every step {way.sampler.times} times"] if isinstance(way.sampler, samplers.Resampled) else []
    return ", ".join(words + ([] if way.group is None else [f"groups of {way.group} particles"]))
