"""Independent symbols, each with its frequencies at its place: what is known of x_0 by Bayes' rule alone.

    p(x_0 = k | x_t)  prop. to  f_k q(x_t | x_0 = k)

element by element, for every kernel of symbols, so that the mixture of bridges that a step is has the base's
own p(x_s | x_t). The network's output is added to the logits:

    logits of x_0 = (1 + w_t) output + log f_k + log q(x_t | x_0 = k)

so that it has to learn neither how common a symbol is nor to copy x_t. Where the other symbols contradict
x_t, the output has to outweigh what x_t says of itself, the last term, which grows without end as t falls:
w_t, how far that puts two symbols apart, spares it from growing as large. Where a symbol of an absorbing
chain has survived, the last term leaves no other.
"""

from torch import Tensor

from undiffuse.bases.base import Base
from undiffuse.distributions import Distribution
from undiffuse.kernels import Discrete, Kernel
from undiffuse.tensors import ONE, like, total

NARROW = 0.1  # a feature's least deviation: rare symbols are no outliers of hundreds of deviations


class Frequencies(Base):
    """Symbols of these probabilities, `probs` (*shape, K). Raises ValueError for what are none."""

    log_probs: Tensor

    def __init__(self, probs: Tensor) -> None:
        super().__init__()
        probs = probs.double()
        if (
            probs.ndim < 2
            or not bool((probs > 0).all())
            or not bool(((probs.sum(-1) - 1).abs() < 1e-6).all())
        ):
            raise ValueError("probs: positive probabilities (*shape, K) that sum to one at every place")
        self.register_buffer("log_probs", (probs / probs.sum(-1, keepdim=True)).log())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return tuple(self.log_probs.shape[:-1])

    @property
    def symbols(self) -> int:
        """K."""
        return self.log_probs.shape[-1]

    def check(self, kernel: Kernel) -> None:
        """Refuse kernels of other symbols."""
        if kernel.symbols != self.symbols:
            found = "numbers" if kernel.symbols is None else f"{kernel.symbols} symbols"
            raise ValueError(f"base: frequencies of {self.symbols} symbols, the kernel is of {found}")

    def log_prob(self, x_0: Tensor) -> Tensor:
        """The sum of log f over the elements."""
        table = self.log_probs.expand(len(x_0), *self.log_probs.shape)
        return total(table.gather(-1, x_0.long().unsqueeze(-1)).squeeze(-1))

    def prior(self, like: Tensor, kernel: Discrete) -> Distribution:
        """keep_1 f + (1 - keep_1) pi."""
        soft = kernel.from_probs(self.log_probs.to(like).exp())
        return kernel.blurred(soft.expand(len(like), *soft.shape), ONE)

    def features(self, x_t: Tensor, t: Tensor, kernel: Discrete) -> Tensor:
        """The kernel's, each less its mean and over its deviation, but not over less than `NARROW`."""
        soft = kernel.from_probs(self.log_probs.exp()).to(x_t)
        mean = kernel.channelled(kernel.soft(kernel.blurred(soft.expand(len(x_t), *soft.shape), t)))
        std = (mean * (1 - mean)).clamp(min=NARROW**2).sqrt_()
        return (kernel.features(x_t) - mean).div_(std)

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, kernel: Discrete) -> Tensor:
        """The probabilities of the symbols."""
        known = kernel.evidence(x_t, t) + kernel.logits(self.log_probs).to(x_t)
        outweighing = like(1 + kernel.sharpness(t), output)
        return kernel.settled(kernel.soften(outweighing * output, known), x_t)
