"""Weights of the simple objective, functions of the log-SNR.

A weight w(logsnr) multiplies the squared error of x_0-hat, and so sqrt(w) the error itself, of which another
loss than the squared one is taken. A network's own output errs by 1 / c_out as much (see
`undiffuse.parameterizations.base`), so its error carries sqrt(w) |c_out|. With no weight the error of the
output counts as it is: for eps that is w = SNR, for v it is w = SNR + 1.
"""

from abc import ABC, abstractmethod

from torch import Tensor


class Weight(ABC):
    """A weight on the squared error of x_0-hat, its root on the error."""

    @abstractmethod
    def __call__(self, logsnr: Tensor) -> Tensor:
        """w at these log-SNRs, float64 of their shape."""


class MinSNR(Weight):
    """min(SNR, gamma) (Hang et al. 2023). Raises ValueError unless gamma > 0."""

    def __init__(self, gamma: float = 5.0) -> None:
        if not gamma > 0:
            raise ValueError(f"gamma={gamma}: the SNR is cut at a positive number, such as 5")
        self.gamma = gamma

    def __call__(self, logsnr: Tensor) -> Tensor:
        """The SNR, cut above."""
        return logsnr.exp().clamp(max=self.gamma)


class Truncated(Weight):
    """max(SNR, 1) (Salimans & Ho 2022, section 4)."""

    def __call__(self, logsnr: Tensor) -> Tensor:
        """The SNR, cut below."""
        return logsnr.exp().clamp(min=1.0)


class SNR(Weight):
    """The SNR itself: the error of the noise, whatever the output says (Ho et al. 2020, eq. 14)."""

    def __call__(self, logsnr: Tensor) -> Tensor:
        """The SNR."""
        return logsnr.exp()
