"""A row of two numbers, a bit and one of three symbols, all correlated, and its exact denoiser.

p(b, k) N(x; m_bk, C_bk)
"""

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from oracles import f64
from undiffuse.distributions import Columns, Distribution, Normal, Part
from undiffuse.kernels import Discrete, Gaussian, Mixed
from undiffuse.model import ReverseProcess
from undiffuse.schedules import ConstantFraction, LogLinear

KERNEL = Mixed(LogLinear(5, -6), [0, 2, 3, 0])  # numbers are columns 0 and 3
STATES = list(itertools.product(range(2), range(3)))
LAW = np.array([0.25, 0.05, 0.1, 0.1, 0.2, 0.3])
MEANS = np.array([[b - 0.5 + 0.3 * k, 1.2 * b - 0.7 * k] for b, k in STATES])
COVARIANCES = np.array([[[0.5 + 0.1 * k, 0.3 - 0.4 * b], [0.3 - 0.4 * b, 0.6]] for b, k in STATES])


def scales(t: float) -> tuple[float, float, float]:
    """alpha, sigma, and what share of symbols is kept."""
    keep, kept = (float(each.keep(f64(t))) for each in (KERNEL.schedule, ConstantFraction()))
    return keep**0.5, (1 - keep) ** 0.5, kept


def redrawn(kept: float, count: int) -> np.ndarray:
    """q(x_t | x_0), a row an x_0."""
    return kept * np.eye(count) + (1 - kept) / count


def seen(t: float, y: np.ndarray, b: np.ndarray, k: np.ndarray):
    """Of states x_t: log q(x_t, state), and of x_0's numbers in each mean (.., 6, 2) and covariance."""
    alpha, sigma, kept = scales(t)
    s = alpha**2 * COVARIANCES + sigma**2 * np.eye(2)
    gain = alpha * COVARIANCES @ np.linalg.inv(s)
    away = y[:, None] - alpha * MEANS
    bent = np.einsum("nci,cij,ncj->nc", away, np.linalg.inv(s), away)
    log = np.log(LAW) - 0.5 * (bent + np.log(np.linalg.det(2 * np.pi * s)))
    of_b, of_k = (np.array([state[i] for state in STATES]) for i in (0, 1))
    log = log + np.log(redrawn(kept, 2)[of_b][:, b].T) + np.log(redrawn(kept, 3)[of_k][:, k].T)
    return log, MEANS + np.einsum("cij,ncj->nci", gain, away), COVARIANCES - alpha * gain @ COVARIANCES


def moments(log: np.ndarray, means: np.ndarray, left: np.ndarray):
    """Of x_0 given x_t: the states' shares, and mean and variance of its numbers."""
    shares = np.exp(log - log.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    mean = np.einsum("nc,nci->ni", shares, means)
    own = np.diagonal(left, axis1=1, axis2=2)
    return shares, mean, np.einsum("nc,nci->ni", shares, own + (means - mean[:, None]) ** 2)


def symbol_shares(shares: np.ndarray) -> list[np.ndarray]:
    table = shares.reshape(-1, 2, 3)
    return [table.sum(2), table.sum(1)]


class Exact(ReverseProcess):
    """What is known of each column of x_0, given x_t."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = KERNEL
        self.weight = nn.Parameter(torch.zeros(()).double(), requires_grad=False)  # walks are in its dtype

    def known(self, x_t: Tensor, t: Tensor):
        x = x_t.numpy()
        found = seen(float(t), x[:, [0, 3]], *(x[:, i].astype(int) for i in (1, 2)))
        shares, mean, var = moments(*found)
        soft = np.zeros((len(x), 2, 3))
        soft[:, 0, :2], soft[:, 1] = symbol_shares(shares)
        return (torch.from_numpy(each) for each in (mean, var, soft))

    def laws(self, x_t: Tensor, t: Tensor, s: Tensor | None) -> tuple[Columns, Columns]:
        mean, var, probs = self.known(x_t, t)
        numbers, symbols = KERNEL.groups
        assert isinstance(symbols.kernel, Discrete)
        soft = symbols.kernel.from_probs(probs)
        found = (Normal(mean, var), symbols.kernel.law(soft))
        belief = self.columns(x_t, found)
        if s is None:
            return belief, belief
        c = Gaussian(KERNEL.schedule).coefficients(s, t)
        found = (
            Normal(c.a * mean + c.b * x_t[:, numbers.columns], c.var + c.a.square() * var),
            symbols.kernel.bridge(soft, x_t[:, symbols.columns], s, t),
        )
        return belief, self.columns(x_t, found)

    @staticmethod
    def columns(x_t: Tensor, laws: tuple[Distribution, ...]) -> Columns:
        parts = [Part(group.columns, law) for group, law in zip(KERNEL.groups, laws, strict=True)]
        return Columns(parts, torch.zeros(x_t.shape, dtype=torch.bool))

    def prior(self, like: Tensor) -> Distribution:
        return KERNEL.prior(like)

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        raise NotImplementedError

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Distribution:
        return self.laws(x_t, t, s)[1]

    def decode(self, x_t: Tensor, t: Tensor) -> Distribution:
        return self.laws(x_t, t, None)[1]
