"""What the right answer is, worked out apart from the library: exact models, replayed noise, quadrature."""

from itertools import pairwise, repeat

import numpy as np
import torch
from torch import Tensor, nn

from undiffuse.distributions import Correlated, Distribution, Normal
from undiffuse.kernels import Gaussian
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.networks import MixtureDenoiser
from undiffuse.objectives import Times
from undiffuse.parameterizations import X0
from undiffuse.random import Streams


def f64(*values: float) -> Tensor:
    """A float64 tensor: 0-d for one value, a vector for more."""
    return torch.tensor(values[0] if len(values) == 1 else values, dtype=torch.float64)


def normals(*shape: int, seed: int = 0) -> Tensor:
    """float64 standard normal noise."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Replay(Streams):
    """Hands out the noise it was given: a list one tensor a draw, a tensor the same at every draw."""

    def __init__(self, noise: Tensor | list[Tensor]) -> None:
        self._noise = repeat(noise) if isinstance(noise, Tensor) else iter(noise)

    def draw(self, kind: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
        assert kind == "normal"
        return next(self._noise).expand(shape).to(device, dtype)


class At(Times):
    """Times at fixed positions: one for all, or one for each."""

    def __init__(self, u: float | Tensor) -> None:
        self.u = torch.as_tensor(u, dtype=torch.float64)

    def draw_all(self, count: int, generator: torch.Generator) -> Tensor:
        return self.u.expand(count)


def hermite(count: int = 4) -> tuple[Tensor, Tensor]:
    """Nodes and weights whose weighted sum is E f(z), z standard normal; exact for polynomials."""
    z, w = np.polynomial.hermite_e.hermegauss(count)
    return torch.from_numpy(z), torch.from_numpy(w / w.sum())


def trapezoid(half: float = 10.0, step: float = 0.05) -> tuple[Tensor, Tensor]:
    """The same for any smooth f."""
    z = torch.arange(-half, half + step / 2, step, dtype=torch.float64)
    w = torch.exp(-z.square() / 2)
    return z, w / w.sum()


def plane(dims: int, count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes z (N, dims) for the data, eps (N, dims) for the noise, and weights (N,).

    All dimensions share their nodes: the bound is a sum over dimensions, so that is exact for it.
    """
    z, w = hermite(count)
    data, noise = torch.cartesian_prod(z, z).unbind(1)
    return (
        data[:, None].expand(-1, dims),
        noise[:, None].expand(-1, dims),
        torch.outer(w, w).flatten(),
    )


class Nothing(nn.Module):
    """A network that has learned nothing yet: zeros, `outputs` times as many as its input."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x).repeat_interleave(self.outputs, 1)


def mixture(kernel: Gaussian, means: Tensor, std: float, weights: Tensor | None = None) -> Denoiser:
    """The exact denoiser of normal densities of one width about means (K, D)."""
    return Denoiser(MixtureDenoiser(kernel, means, std, weights), kernel, X0())


class GaussianReverse(ReverseProcess):
    """The exact reverse process of data N(mean, diag(var)): O1 of the notes."""

    def __init__(self, kernel: Gaussian, mean: Tensor, var: Tensor) -> None:
        super().__init__()
        self.kernel, self.mean, self.var = kernel, mean, var

    def law(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(x_t)."""
        keep = self.kernel.schedule.keep(t)
        keep = keep.unsqueeze(-1) if keep.ndim else keep
        return keep.sqrt() * self.mean, keep * self.var + 1 - keep

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        m, v = self.law(t)
        keep = self.kernel.schedule.keep(t)
        keep = keep.unsqueeze(-1) if keep.ndim else keep
        return self.mean + keep.sqrt() * self.var / v * (x_t - m)

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Normal:
        (m_s, v_s), (m_t, v_t) = self.law(s), self.law(t)
        keep = self.kernel.schedule.keep
        kept = keep(t) / keep(s)
        kept = kept.unsqueeze(-1) if kept.ndim else kept
        return Normal(m_s + kept.sqrt() * v_s / v_t * (x_t - m_t), (1 - kept) * v_s / v_t)

    def decode(self, x_t: Tensor, t: Tensor) -> Normal:
        v = self.law(t)[1]
        keep = self.kernel.schedule.keep(t)
        keep = keep.unsqueeze(-1) if keep.ndim else keep
        return Normal(self.predict(x_t, t), (1 - keep) * self.var / v)


class CorrelatedReverse(ReverseProcess):
    """The exact reverse process of data N(mean, cov), its steps as wide as they are: O1 of the notes."""

    def __init__(self, kernel: Gaussian, mean: Tensor, cov: Tensor) -> None:
        super().__init__()
        self.kernel, self.mean, self.cov = kernel, mean, cov

    def law(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of q(x_t), t 0-d."""
        keep = self.kernel.schedule.keep(t)
        return keep.sqrt() * self.mean, keep * self.cov + (1 - keep) * torch.eye(len(self.mean)).double()

    def predict(self, x_t: Tensor, t: Tensor) -> Tensor:
        m, v = self.law(t)
        away = (x_t - m) @ torch.linalg.inv(v)
        return self.mean + self.kernel.schedule.keep(t).sqrt() * away @ self.cov

    def step(self, x_t: Tensor, t: Tensor, s: Tensor) -> Correlated:
        (m_s, v_s), (m_t, v_t) = self.law(s), self.law(t)
        kept = self.kernel.schedule.keep(t) / self.kernel.schedule.keep(s)
        gain = v_s @ torch.linalg.inv(v_t)
        return correlated(m_s + kept.sqrt() * (x_t - m_t) @ gain.mT, (1 - kept) * gain)

    def decode(self, x_t: Tensor, t: Tensor) -> Correlated:
        left = 1 - self.kernel.schedule.keep(t)
        return correlated(self.predict(x_t, t), left * self.cov @ torch.linalg.inv(self.law(t)[1]))


def correlated(mean: Tensor, cov: Tensor) -> Correlated:
    """N(mean, cov), one covariance for all rows."""
    return Correlated(mean, torch.linalg.cholesky((cov + cov.mT) / 2).expand(len(mean), -1, -1))


def moments(p: Distribution) -> tuple[Tensor, Tensor]:
    """Means (B, n) and the covariance (n, n) of normals, after a check that all rows share it."""
    if isinstance(p, Normal):
        cov = torch.diag_embed(p.var.expand(p.shape))
    else:
        assert isinstance(p, Correlated)
        cov = (p.root @ p.root.mT).expand(len(p.loc), -1, -1)
    torch.testing.assert_close(cov, cov[:1].expand_as(cov), rtol=0, atol=1e-9)
    return p.mean, cov[0]


def law_of(model: ReverseProcess, n: int, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x_0 of a chain whose every step is normal and affine in x_t: no sampling.

    The steps at 0 and at the unit vectors tell their offset and their matrix.
    """
    points = torch.cat([torch.zeros(1, n), torch.eye(n)]).double()
    (mean, *_), cov = moments(model.prior(points))
    for t, s in pairwise([*grid.flip(0), None]):
        p = model.decode(points, t) if s is None else model.step(points, t, s)
        (offset, *at), width = moments(p)
        slope = (torch.stack(at) - offset).mT
        mean, cov = offset + slope @ mean, slope @ cov @ slope.mT + width
    return mean, cov


def conditioned(
    mean: Tensor, cov: Tensor, a: Tensor, y: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """N(mean, cov) given y = a x + N(0, noise): its mean, its covariance, and log of the density of y."""
    seen = a @ cov @ a.mT + noise
    gain = cov @ a.mT @ torch.linalg.inv(seen)
    log_z = torch.distributions.MultivariateNormal(a @ mean, seen).log_prob(y)
    return mean + gain @ (y - a @ mean), cov - gain @ a @ cov, log_z


class GaussianDenoiser(nn.Module):
    """E[x_0 | x_t] of data N(mean, diag(var)) as a network for `parameterizations.X0`."""

    def __init__(self, kernel: Gaussian, mean: Tensor, var: Tensor) -> None:
        super().__init__()
        self.exact = GaussianReverse(kernel, mean, var)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.exact.predict(x_t, t)


class Constant(nn.Module):
    """A network that always says the same."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.value.expand(len(x_t), *self.value.shape[-x_t.ndim + 1 :]).to(x_t.dtype)


def normal_entropy(var: Tensor) -> Tensor:
    """Entropy of N(., diag(var)) in nats."""
    return 0.5 * torch.log(2 * torch.pi * torch.e * var).sum()


def normal_kl(mean: Tensor, var: Tensor) -> Tensor:
    """KL(N(mean, diag(var)) || N(0, I)) in nats."""
    return 0.5 * (var + mean.square() - 1 - var.log()).sum()


def awake(network: nn.Module) -> nn.Module:
    """In float64, with every zero weight replaced, so that all parts show."""
    for i, weight in enumerate(network.double().parameters()):
        if not weight.any():
            weight.data = 0.3 * normals(*weight.shape, seed=i)
    return network


def bumps(t: np.ndarray, count: int, width: float, ends: bool) -> np.ndarray:
    """Equation (63), plainly."""
    centres = np.linspace(0, 1, count) if ends else np.linspace(1, 2 * count - 1, count) / (2 * count)
    w = width * (centres[1] - centres[0])
    g = np.exp(-((t[:, None] - centres) ** 2) / (2 * w**2))
    return g / g.sum(1, keepdims=True)
