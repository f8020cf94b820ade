"""A model bound to raw data: what `undiffuse.fit` gives, and what is asked of it in raw units.

The model knows x_0; `space` is the map between x_0 and raw values, `chain` the latent times, `sampler` what
walks them. What would give a plausible wrong number (levels without a decoder of as many) is refused when
the object is made.
"""

import math
from collections.abc import Iterator
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from undiffuse import samplers
from undiffuse.data import Space, Splits, UniformNoise, space_of
from undiffuse.diffusion import bounded, calibrated, checks, coded, columnwise, exact, observed, variants
from undiffuse.diffusion.bases import Bases, Simple
from undiffuse.diffusion.checks import check_fit, check_range
from undiffuse.diffusion.containers import Container, alike, container_of
from undiffuse.diffusion.examples import examples_of, fitting_kernel
from undiffuse.diffusion.walks import ALL, Steps, Walk, Walks
from undiffuse.kernels import Kernel
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import Decoder, DiscretizedDecoder, Parameterization, Variance
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Streams
from undiffuse.samplers import Ancestral, Sampler
from undiffuse.schedules.grids import thin
from undiffuse.schedules.grids import uniform as uniform_grid
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

STEPS = 1000  # of a chain that nobody has named


class Diffusion:
    """A model with its data's space and shape, its chain and its sampler.

    `shape` is that of one example, `space` how raw values become x_0, `chain` the latent times of the chain;
    times before `first` are left out. `terms` are the steps that `bits` computes for each example, drawn at
    random (None: all). `shades` are the raw values that are black and white in a picture, `noise` is that
    which raw data carry where what was rounded has a density, `overlapping` says that examples share values,
    so that they are not independent. `bases` are densities in closed form of the training data, by name.
    `walks` are those of few steps that were measured for these weights, of which samples take the shortest.
    `processes` share the work of `sample` and `evaluate`; `step` counts the training steps behind the
    weights. Examples may be tensors, arrays or DataFrames: what comes back is of the kind that went in, and
    samples of that of `container`.

    Args:
        network: a module (x_t, t) -> output of x_t's shape, t in [0, 1] (B,); or a model, a `ReverseProcess`.
        data: examples like those that it is for: their shape and levels, and of numbers mean and width.
        levels: K, if the values are the whole numbers 0..K-1; bool have 2, uint8 256.
        kernel: how data are destroyed; by default Gaussian, of bits binomial.
        parameterization: what the network predicts; by default v, of bits and symbols their logits.
        variance: how wide a step is; by default the bridge's.
        decoder: the last step; by default the levels', or a density.
        grid: the latent times; by default 1,000 at even distances.
        sampler: what walks the chain back; by default one ancestral draw a step.
        terms: as above.

    Raises:
        TypeError: for what is no data.
        ValueError: for data, levels, kernel and decoder that do not go together.
    """

    sampler: Sampler
    container: Container

    def __init__(
        self,
        network: nn.Module,
        data: Any,
        *,
        levels: int | None = None,
        kernel: Kernel | None = None,
        parameterization: Parameterization | None = None,
        variance: Variance | None = None,
        decoder: Decoder | None = None,
        grid: Tensor | None = None,
        sampler: Sampler | None = None,
        terms: int | None = None,
    ) -> None:
        raw, levels = examples_of(data, levels)
        model = network
        if not isinstance(model, ReverseProcess):
            kernel = kernel or fitting_kernel(levels)
            if decoder is None and kernel.symbols is None and levels is not None:
                decoder = DiscretizedDecoder(levels)
            model = Denoiser(network, kernel, parameterization, variance, decoder)
        elif kernel or parameterization or variance or decoder:
            raise ValueError("network is a model, whose kernel, parameterization, variance and decoder stand")
        splits = Splits(raw, raw[:1], levels)
        space = space_of(splits, model.kernel.symbols)
        self._bind(model, space, splits.shape, uniform_grid(STEPS) if grid is None else grid)
        self.sampler, self.terms = sampler or self.sampler, terms
        self.container = container_of(data) or self.container

    def _bind(
        self,
        model: ReverseProcess,
        space: Space,
        shape: tuple[int, ...],
        chain: Tensor,
        *,
        sampler: Sampler | None = None,
        terms: int | None = None,
        shades: tuple[float, float] | None = None,
        noise: UniformNoise | None = None,
        overlapping: bool = False,
        bases: Bases | None = None,
        step: int = 0,
    ) -> None:
        check_fit(model, space)
        self.model, self.space, self.shape, self.chain = model, space, shape, chain
        self.sampler, self.terms, self.noise = sampler or Ancestral(), terms, noise
        self.shades = shades or (0.0, float((space.levels or 2) - 1))
        self.overlapping, self.bases, self.step = overlapping, bases or Bases(), step
        self.processes: Processes = ALONE
        self.first, self.container = 0.0, Container()
        self.walks: Walks | None = None

    def replace(self, **changes: Any) -> Self:
        """A copy with other attributes; weights are shared. Raises AttributeError for what it has not."""
        made = copy(self)
        for name, value in changes.items():
            if name not in vars(made):
                raise AttributeError(f"{type(self).__name__} has no {name!r} to replace")
            setattr(made, name, value)
        return made

    @property
    def in_tensors(self) -> Self:
        """Itself, whose samples are tensors whatever kind of data it was made of."""
        return self.replace(container=Container())

    @property
    def simple(self) -> Simple:
        """The models in closed form that reports stand beside."""
        return Simple(self.bases, self.levels, self.model.kernel.symbols is not None)

    @property
    def denoiser(self) -> Denoiser:
        """The model, where only one with a network will do. Raises ValueError for a guided one."""
        if not isinstance(self.model, Denoiser):
            raise ValueError("a guided model has two networks: use the run without guidance")
        return self.model

    @property
    def levels(self) -> int | None:
        """The number of levels of a value; None for continuous data."""
        return self.space.levels

    @property
    def grid(self) -> Tensor:
        """The latent times of the chain, increasing, from `first` on."""
        return self.chain[self.chain >= self.first]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @alike()
    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        steps: Steps = None,
        sampler: Sampler | None = None,
        first: int = 0,
        block: int | None = None,
        track: Track = SILENT,
    ) -> Tensor:
        """n raw samples (n, *shape); sample `first + i` of a seed is the same however many are drawn.

        `steps` thins the chain; "all" are its own. By default that is the chain, too, unless `walks` were
        measured for it: then the fewest steps that are as good; and so many steps of theirs, if no sampler
        is named. Raises ValueError for n or steps below 1, or first below 0.
        """
        check_range(n, first)
        x_0 = samplers.sample(
            self.model,
            (n, *self.shape),
            **self._walk(seed, *self.walked(steps, sampler)),
            first=first,
            block=block,
            track=track,
            processes=self.processes,
        )
        return self.space.decode(x_0.cpu())

    @alike()
    def trajectory(
        self,
        n: int,
        seed: int = 0,
        *,
        steps: Steps = None,
        sampler: Sampler | None = None,
        first: int = 0,
    ) -> Iterator[tuple[float, Tensor]]:
        """(t, x_t) of the same samples as `sample`, from t = 1 to t = 0, in x_0's coordinates."""
        states = samplers.trajectory(
            self.model,
            (n, *self.shape),
            **self._walk(seed, *self.walked(steps, sampler)),
            first=first,
        )
        return ((t, x.cpu()) for t, x in states)

    @alike("a", "b")
    def interpolate(
        self,
        a: Tensor,
        b: Tensor,
        t: float = 0.5,
        points: int = 9,
        seed: int = 0,
        *,
        steps: int | None = None,
        sampler: Sampler | None = None,
        track: Track = SILENT,
    ) -> Tensor:
        """From raw a to raw b (B, *shape), by mixing them at time t: (B, points, *shape), both ends included.

        The same noise is used for all points of a pair. Raises ValueError for t outside [0, 1] or fewer than
        two points.
        """
        if points < 2:
            raise ValueError(f"points={points}: an interpolation has two ends at least")
        for raw in (a, b):
            self.check(raw)
        x_0 = samplers.interpolate(
            self.model,
            self.space.encode(a).to(self.device),
            self.space.encode(b).to(self.device),
            t,
            torch.linspace(0, 1, points, dtype=torch.float64),
            **self._walk(seed, self.thinned(steps), sampler or self.sampler),
            track=track,
        )
        return self.space.decode(x_0.flatten(0, 1).cpu()).view(len(a), points, *self.shape)

    @alike()
    def sample_shared(
        self,
        n: int,
        t: float = 0.5,
        states: int = 1,
        seed: int = 0,
        *,
        steps: int | None = None,
        sampler: Sampler | None = None,
        first: int = 0,
        track: Track = SILENT,
    ) -> Tensor:
        """n raw samples of each of some states x_t: (states, n, *shape).

        State i is where sample `first + i` of the same seed is at t. Raises ValueError for t outside (0, 1],
        n or states below 1, or a sampler without noise.
        """
        check_range(n, first)
        x_0 = samplers.sample_shared(
            self.model,
            (states, *self.shape),
            n,
            t,
            **self._walk(seed, self.thinned(steps), sampler or self.sampler),
            first=first,
            track=track,
        )
        return self.space.decode(x_0.flatten(0, 1).cpu()).view(states, n, *self.shape)

    given, told, guided = variants.given, variants.told, variants.guided  # the same, of other examples
    clipped, stopped = variants.clipped, variants.stopped  # and on another walk
    tuned, chained = alike()(variants.tuned), alike()(variants.chained)
    curve, curve_times = alike("raw")(variants.curve), variants.curve_times  # of the mean squared errors
    known = alike("raw", "mask")(observed.known)  # observations, as factors
    by_column = columnwise.by_column
    noisy, measured = (alike("raw")(each) for each in (observed.noisy, observed.measured))
    posterior = alike()(observed.posterior)  # draws of what they leave open
    impute = alike("raw", "mask")(observed.imputed)
    calibrate = alike("raw", "mask")(calibrated.calibrate)  # whether they are as sure as they should be
    compress = alike("raw", whole=True)(coded.compress)  # a file, and back
    decompress = alike()(coded.decompress)
    bits, evaluate = alike("raw")(bounded.bits), alike("raw")(bounded.evaluate)  # the bound
    bits_map = alike("raw", numbers=True)(bounded.bits_map)  # and where it comes from
    step_entropies, weighted = alike("raw")(bounded.step_entropies), alike("raw")(bounded.weighted)
    log_prob, likelihood = alike("raw")(exact.log_prob), alike("raw")(exact.likelihood)  # by the flow
    round_trip = alike("raw")(exact.round_trip)
    encode, decode = alike("raw")(exact.encode), alike("latents")(exact.decode)  # latents, and back
    check, check_density = checks.check, checks.check_density  # of what it is given

    def walked(self, steps: Steps, sampler: Sampler | None) -> tuple[Tensor, Sampler]:
        """The times and the sampler of samples."""
        walk = self.chosen(steps) if sampler is None else None
        if walk is not None:
            return walk.grid, walk.sampler
        return self.thinned(steps), sampler or self.sampler

    def chosen(self, steps: Steps) -> Walk | None:
        """The measured walk of so many steps, or of the fewest that are as good as all; None without one."""
        if self.walks is None or steps == ALL:
            return None
        return self.walks.shortest if steps is None else self.walks.of(int(steps))

    def _walk(self, seed: int, grid: Tensor, sampler: Sampler) -> dict[str, Any]:
        """What every walk down the chain is told."""
        return {"generator": torch.Generator().manual_seed(seed), "sampler": sampler, "grid": grid}

    @alike("raw")
    def with_noise(self, raw: Tensor, seed: int = 0) -> Tensor:
        """Raw examples with the uniform noise that the run's data carry, where these come without it."""
        if self.noise is None or not self.noise.missing(raw):
            return raw
        return self.noise.added(raw, Streams("noise", seed, rows=range(len(raw))))

    @property
    def shift(self) -> float:
        """Bits per dimension that a density in raw units has less than one in x_0; 0 for levels."""
        return self.space.log_det(self.shape) / (dims(self.shape) * math.log(2))

    def thinned(self, steps: Steps) -> Tensor:
        """The chain's grid, or `steps` times of it. Raises ValueError if it has not so many."""
        grid = self.grid
        if steps is None or isinstance(steps, str):
            return grid
        if not 1 <= steps <= len(grid):
            raise ValueError(f"steps={steps}: this run's chain can be thinned to 1 to {len(grid)} steps")
        return thin(grid, steps)
