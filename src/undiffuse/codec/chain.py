"""A model's chain as an entropy coder meets it: states of whole numbers, and laws from one to the next.

    forward  q(x_t | x_s)      from the data up, and   reverse  p(x_s | x_t)   back down,   prior p(x_1)

Latents of Gaussian chains are cut into cells, `resolution` of them to the narrowest standard deviation that a
law over them has. A cell's middle is what the network sees, which widens the noise by width^2 / 12; that and
no more is lost by cutting, since both laws are integrated over the same cells. Everything is worked out in
float64.
"""

import math
from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from undiffuse.bases import ColumnsBase
from undiffuse.codec.alphabet import Alphabet, Symbols, lattice, levels
from undiffuse.codec.coder import Laws
from undiffuse.codec.columns import ColumnLevels, Part, Rows
from undiffuse.codec.rounding import Rounding
from undiffuse.distributions import Distribution
from undiffuse.kernels import Discrete, Gaussian, Mixed
from undiffuse.model import Denoiser
from undiffuse.parameterizations import Contextual, ContextualDecoder, DiscretizedDecoder
from undiffuse.schedules.grids import Grid
from undiffuse.tensors import dims

TAILS = 8.0  # standard deviations of noise that a lattice holds beyond the data
SCORES = 8.0  # how far from zero scores of a table's numbers are, about
OCTAVE = 8  # codes to a doubling
EXCESS, DECODED = -12, -28  # log2 of what code 0 adds to beta-tilde, and multiplies the decoder's variance by


@dataclass(frozen=True)
class Plan:
    """Which chain: `places` in a base grid of `base` times, and its variances as codes from 0 to 255.

    `codes` has a row for every place, of one code a knot of the context (`parameterizations.context`). In the
    first row c multiplies the decoder's variance by 2^(c/8 - 28); in that of a later place it makes the step
    that leaves it (1 + 2^(c/8 - 12)) beta-tilde wide. Without codes the model's own widths hold.
    """

    base: int
    places: tuple[int, ...]
    codes: tuple[tuple[int, ...], ...] = ()
    resolution: int = 3

    def grid(self, base: Tensor) -> Grid:
        """The latent times. Raises ValueError for another base grid."""
        if len(base) != self.base:
            raise ValueError(f"the file's chain is of {self.base} steps, this model's of {len(base)}")
        return Grid(base[list(self.places)])


def evenly(base: int, steps: int) -> tuple[int, ...]:
    """So many of the places of a base grid, evenly spread, the last among them."""
    return tuple(int(place) for place in np.rint(np.linspace(0, base - 1, steps + (steps == 1))))[-steps:]


class Chain:
    """The states 0 (data) to T of a model on a plan's grid, for examples of this shape.

    `holes` (N, D) are cells of a table that nothing is known of, in no state.
    """

    def __init__(
        self,
        model: Denoiser,
        shape: tuple[int, ...],
        plan: Plan,
        base: Tensor,
        holes: np.ndarray | None = None,
    ) -> None:
        self.shape, self.grid, self.holes = shape, plan.grid(base), holes
        self.model = planned(exact(model), self.grid, plan)
        self.alphabets = list(self._alphabets(plan.resolution))

    def __len__(self) -> int:
        return len(self.grid)

    def rows(self, rows: slice) -> "Chain":
        """The chain for these rows of the examples that its model is given something for."""
        own = copy(self)
        if self.model.examples is not None:
            own.model = self.model.rows(torch.arange(self.model.examples)[rows])
        if self.holes is not None:
            own.holes = self.holes[rows]
        return own

    def forward(self, i: int, lower: np.ndarray, rounding: Rounding, call: int) -> Laws:
        """q(state i | state i - 1), whose values are given in any shape."""
        x, kernel = self.tensor(lower), self.model.kernel
        law = kernel.marginal(x, self.grid[0]) if i == 1 else kernel.transition(x, *self.grid[i - 2 : i])
        return self.alphabets[i].law(law, rounding, call, closed=True)

    def reverse(self, i: int, upper: np.ndarray, rounding: Rounding, call: int) -> Laws:
        """p(state i - 1 | state i): a call of the network."""
        return self.alphabets[i - 1].law(self.back(i, self.tensor(upper)), rounding, call)

    def back(self, i: int, x: Tensor) -> Distribution:
        """The model's law of state i - 1 at x, state i."""
        with torch.no_grad():
            if i == 1:
                return self.model.decode(x, self.grid[0])
            return self.model.step(x, self.grid[i - 1], self.grid[i - 2])

    def prior(self, count: int, rounding: Rounding, call: int) -> Laws:
        """p(state T) of `count` examples."""
        like = self.tensor(np.zeros((count, dims(self.shape))))
        return self.alphabets[-1].law(self.model.prior(like), rounding, call)

    def tensor(self, values: np.ndarray) -> Tensor:
        """Examples of these values, where the model is."""
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        x = torch.from_numpy(values).view(-1, *self.shape)
        return (x if self.holes is None else x.masked_fill(torch.from_numpy(self.holes), torch.nan)).to(
            device
        )

    def _alphabets(self, resolution: int) -> Iterator[Alphabet]:
        kernel = self.model.kernel
        if isinstance(kernel, Discrete):
            yield from (Symbols(kernel.channels) for _ in range(len(self) + 1))
            return
        if isinstance(kernel, Mixed):
            numbers = Gaussian(kernel.schedule)
            yield data_rows(self.model)
            for each in self._lattices(numbers, resolution, SCORES):
                yield rows_of(kernel, each)
            return
        assert isinstance(kernel, Gaussian) and isinstance(self.model.decoder, DiscretizedDecoder)
        yield levels(self.model.decoder.levels)
        yield from self._lattices(kernel, resolution, 1.0)

    def _lattices(self, kernel: Gaussian, resolution: int, most: float) -> Iterator[Alphabet]:
        """Of the latents of data that are up to `most` from zero."""
        alpha, sigma = kernel.alpha_sigma(self.grid)
        for i, width in enumerate(cells(kernel, self.grid, resolution)):
            yield lattice(width, float(most * alpha[i] + TAILS * sigma[i]))


def data_rows(model: Denoiser) -> Rows:
    """The alphabet of a table's rows. Raises ValueError for columns of continuous numbers."""
    assert isinstance(model.kernel, Mixed) and isinstance(model.base, ColumnsBase)
    return rows_of(model.kernel, ColumnLevels(model.base.marginals))


def rows_of(kernel: Mixed, numbers: Alphabet) -> Rows:
    """Rows whose numbers have this alphabet, and symbols theirs."""
    parts = []
    for group in kernel.groups:
        alphabet = Symbols(group.kernel.channels) if isinstance(group.kernel, Discrete) else numbers
        parts.append(Part(group.columns.cpu().numpy(), alphabet))
    return Rows(parts)


def cells(kernel: Gaussian, grid: Tensor, resolution: int) -> Iterator[float]:
    """The width of every latent's cells, the same on every machine."""
    for narrowest in _narrowest(kernel, grid):
        share, exponent = math.frexp(narrowest / resolution)
        yield math.ldexp(round(share * 1024), exponent - 10)


def _narrowest(kernel: Gaussian, grid: Tensor) -> Iterator[float]:
    """The smallest standard deviation that a law over each latent has."""
    start = torch.zeros(1, dtype=torch.float64)
    steps = kernel.coefficients(torch.cat([start, grid[:-1]]), grid)
    into = steps.beta.sqrt()  # of the step forward
    out = torch.cat([steps.var[1:].sqrt(), torch.ones(1, dtype=torch.float64)])  # of the step back
    yield from torch.minimum(into, out).tolist()


def exact(model: Denoiser) -> Denoiser:
    """The model in float64, its predictions the same on every machine but for the last digits."""
    return deepcopy(model).double().eval().requires_grad_(False)


def planned(model: Denoiser, grid: Tensor, plan: Plan) -> Denoiser:
    """The model with the plan's variances, on the plan's grid. ValueError if it takes none."""
    if not plan.codes:
        return model
    kernel, decoder = model.kernel, model.decoder
    if (
        not isinstance(kernel, Gaussian)
        or model.variance.learned
        or not isinstance(decoder, DiscretizedDecoder)
    ):
        raise ValueError("the chain has variances of its own, which this model's steps cannot take")
    knots = torch.tensor(plan.codes, dtype=torch.float64) / OCTAVE
    planned = copy(model)
    planned.variance = Contextual(grid, knots + EXCESS)
    planned.decoder = ContextualDecoder(decoder, knots[0] + DECODED)
    return planned
