"""The exact denoiser of a mixture of isotropic Gaussians: what a perfect network would predict.

For p(x_0) = sum_k w_k N(m_k, std^2 I) and x_t = alpha x_0 + sigma eps,

    r_k(x_t)      prop. to  w_k N(x_t; alpha m_k, var I),    var = alpha^2 std^2 + sigma^2
    E[x_0 | x_t]  = m + alpha std^2 / var (x_t - alpha m),   m = sum_k r_k m_k

It measures what part of a bound's gap is the network's and what part the chain's.
"""

import torch
from torch import Tensor, nn

from undiffuse.kernels import Gaussian


class MixtureDenoiser(nn.Module):
    """(B, D), (B,) -> E[x_0 | x_t] for component means (K, D), one std >= 0 and optional weights (K,).

    Goes with `parameterizations.X0`; works in float64 and needs the kernel of the chain.
    """

    def __init__(self, kernel: Gaussian, means: Tensor, std: float, weights: Tensor | None = None) -> None:
        super().__init__()
        self.kernel, self.std = kernel, std
        self.means = means.double()
        weights = torch.ones(len(means)) if weights is None else weights
        self.log_weights = (weights.double() / weights.sum()).log()

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t], in x_t's dtype."""
        alpha, sigma = (c.unsqueeze(1) for c in self.kernel.alpha_sigma(t))
        var = (alpha * self.std).square() + sigma.square()
        x = x_t.double()
        half_norms = self.means.square().sum(1) / 2
        logits = (x @ self.means.T - alpha * half_norms).mul_(alpha / var).add_(self.log_weights)
        mean = logits.softmax(1) @ self.means
        return (mean + alpha * self.std**2 / var * (x - alpha * mean)).to(x_t.dtype)
