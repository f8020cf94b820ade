"""Independent numbers and symbols, models that know them exactly, and what factors of them are worth."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from oracles import GaussianReverse, f64
from undiffuse import distributions
from undiffuse.distributions import Discretized, Distribution, Normal
from undiffuse.kernels import Absorbing, Binomial, Categorical, Discrete, Gaussian, Kernel
from undiffuse.model import Denoiser
from undiffuse.parameterizations import X0, DiscretizedDecoder, NormalDecoder, Table
from undiffuse.posteriors import (
    Classifier,
    Factor,
    Known,
    Linear,
    Linearised,
    LogDensity,
    Noisy,
    Odds,
    Separable,
    SymbolOdds,
)
from undiffuse.posteriors.operators import Matrix
from undiffuse.random import keyed
from undiffuse.schedules import Schedule

VAR, LEVELS, STATES, DRAWS = 0.6, 5, 3, 4_000
MADE: dict[str, Callable[[Schedule], Kernel]] = {
    "numbers": Gaussian,
    "levels": Gaussian,
    "bits": lambda schedule: Binomial(schedule, 0.3),
    "symbols": lambda schedule: Categorical(schedule, STATES),
    "masked": lambda schedule: Absorbing(schedule, STATES),
}


def means(n: int) -> Tensor:
    """Of numbers."""
    return torch.linspace(-0.5, 0.5, n, dtype=torch.float64)


def rates(n: int, states: int) -> Tensor:
    """The probabilities (n, states) of symbols."""
    return torch.linspace(-1, 1, n * states, dtype=torch.float64).view(states, n).mT.softmax(1)


class Each(nn.Module):
    """E[x_0 | x_t], or the logits of x_0, element by element."""

    def __init__(self, kernel: Kernel, n: int) -> None:
        super().__init__()
        self.chain, self.n = [kernel], n  # in a list: it is no part of the network
        self.weight = nn.Parameter(torch.zeros(()).double(), requires_grad=False)  # walks are in its dtype

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        (kernel,) = self.chain
        if not isinstance(kernel, Discrete):
            return GaussianReverse(
                kernel, means(self.n), torch.full((self.n,), VAR, dtype=torch.float64)
            ).predict(x, t)
        if not isinstance(kernel, Binomial):
            x = x.unflatten(1, (kernel.channels, -1)).argmax(1).double()
        law = rates(self.n, kernel.symbols).log()
        logits = [law[:, k] + kernel.marginal(k + 0 * x, t).log_prob(x) for k in range(kernel.symbols)]
        if isinstance(kernel, Binomial):
            return logits[1] - logits[0]
        return torch.cat(logits + [0 * x] * (kernel.channels - kernel.symbols), 1)


def built(kind: str, schedule: Schedule, n: int, grid: Tensor, exact: bool = True) -> Denoiser:
    """The model of such data; of numbers its steps are as wide as they are on this grid.

    Unless it is `exact`, its last step is that of a decoder that takes data as flat, as trained models do.
    """
    kernel = MADE[kind](schedule)
    if isinstance(kernel, Discrete):
        return Denoiser(Each(kernel, n), kernel)
    keep = torch.cat([torch.ones(1).double(), schedule.keep(grid).detach()])
    seen = keep * VAR + 1 - keep
    widths = (1 - keep[1:] / keep[:-1]) * seen[:-1] / seen[1:]
    std = float(widths[0]) ** 0.5 if exact else None
    decoder = NormalDecoder(std) if kind == "numbers" else DiscretizedDecoder(LEVELS, std)
    return Denoiser(Each(kernel, n), kernel, X0(), Table.on(grid, widths), decoder)


def lean(x: Tensor) -> Tensor:
    """Logits of two classes, by the mean."""
    return torch.stack([-x.mean(1), x.mean(1)], 1)


def factors(n: int) -> dict[str, Factor]:
    """Every factor, and products of them; weaker where there are more elements to see."""
    ones, some = torch.ones(n).double(), torch.arange(n) % 16 == 0
    line, wide = torch.linspace(-1, 1, n, dtype=torch.float64) / n**0.5, 1.2 * n**0.5
    noisy, known, near = Noisy(ones, wide), Known(ones, some), Classifier(lean, 1)
    sums = Linear(Matrix(torch.stack([ones, line]) / n), f64(0.4, 0.0), 0.7)
    table = SymbolOdds(torch.stack([line, 0 * line, -2 * line], 1))
    return {
        "known": known,
        "noisy": noisy,
        "linear": sums,
        "odds": Odds(2 * line),
        "symbol-odds": table,
        "separable": Separable({0: torch.zeros_like}),
        "log-density": LogDensity(lambda x: x @ line),
        "classifier": near,
        "linearised": Linearised(noisy),
        "linearised odds": Linearised(Odds(2 * line)),
        "both": noisy * noisy,
        "noisy, known": noisy * known,
        "noisy, linear": noisy * sums,
        "noisy, classifier": noisy * near,
        "linear, known": sums * known,
        "odds, known": Odds(2 * line) * known,
        "symbol-odds, known": table * known,
        "known, classifier": known * near,
    }


def data(kind: str, n: int, rows: int) -> Distribution:
    """The law of the data, element by element, (rows, n)."""
    if kind == "numbers":
        return Normal(means(n).expand(rows, n), f64(VAR))
    if kind == "levels":
        return Discretized(means(n).expand(rows, n), f64(VAR**0.5), LEVELS)
    law = rates(n, 2 if kind == "bits" else STATES)
    return distributions.Categorical(law.log().expand(rows, -1, -1), torch.arange(law.shape[1]).double())


def worth(kind: str, factor: Factor, n: int) -> tuple[float, float]:
    """log E[r(x_0)] of the data, by draws in which what is known is as it must be, and its standard error."""
    law = data(kind, n, DRAWS)
    x = factor.fill(law.sample(keyed("data")).double())
    log_r = factor.log(x)
    found = float(log_r.logsumexp(0)) - math.log(DRAWS)
    se = float((log_r - found).exp().std()) / DRAWS**0.5
    if factor.pinned is not None:
        found += float(law.log_prob(x)[:1, factor.pinned].sum())
    return found, se
