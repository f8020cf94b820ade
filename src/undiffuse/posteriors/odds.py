"""What else is known of symbols, one by one: odds by which each is likelier than it was.

    bits       r(x) = prod_i exp(odds_i x_i)
    symbols    r(x) = prod_i exp(odds_i[x_i])

Times independent bits or symbols this is exact: log-probabilities add up.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from undiffuse.devices import onto
from undiffuse.distributions import Bernoulli, Categorical, Distribution
from undiffuse.kernels import Binomial, Discrete, Kernel
from undiffuse.posteriors.observation import Observation, check_finite
from undiffuse.tensors import ONE, like, total


class Odds(Observation):
    """`log_odds` of a one against a zero in nats, (B, *shape) or what broadcasts to it; for bits.

    Raises ValueError for odds that are not finite: for what is certain use Known.
    """

    def __init__(self, log_odds: Tensor) -> None:
        check_finite(log_odds, "log_odds")
        self.log_odds = log_odds

    def check(self, kernel: Kernel) -> None:
        """Refuse all but bits."""
        if not isinstance(kernel, Binomial):
            raise ValueError("Odds are those of bits: for numbers use Noisy, for other symbols SymbolOdds")

    def log(self, x: Tensor) -> Tensor:
        """The log-odds of the ones."""
        return total(onto(self.log_odds, x) * x)

    def times(self, p: Distribution, power: Tensor = ONE) -> Distribution:
        """Log-odds added."""
        return p.tilt(like(power, p.mean) * onto(self.log_odds, p.mean))

    def normaliser(self, p: Distribution) -> Tensor:
        """sum_i log(p_i exp(odds_i) + 1 - p_i)."""
        assert isinstance(p, Bernoulli)
        odds = self.log_odds.to(p.one)
        return total(torch.logaddexp(p.one.log() + odds, p.zero.log()))


class SymbolOdds(Observation):
    """`log_odds` (*shape, K) or (B, *shape, K): log-weights of the K symbols in nats, up to a constant.

    A mask, which is none of them, has the weight 1. Raises ValueError for odds that are not finite, or of
    another number of symbols.
    """

    smooth, masks = False, True

    def __init__(self, log_odds: Tensor) -> None:
        check_finite(log_odds, "log_odds")
        self.log_odds = log_odds

    def check(self, kernel: Kernel) -> None:
        """Refuse numbers, bits, and other numbers of symbols."""
        if not isinstance(kernel, Discrete) or isinstance(kernel, Binomial):
            raise ValueError("SymbolOdds are those of symbols: for numbers use Noisy, for bits Odds")
        if self.log_odds.shape[-1] != kernel.symbols:
            raise ValueError(
                f"log_odds of shape {tuple(self.log_odds.shape)}: the last dimension is one number for "
                f"each of the {kernel.symbols} symbols"
            )

    def log(self, x: Tensor) -> Tensor:
        """The log-weights of the symbols that are there; of masks nothing."""
        odds, numbers = onto(self.log_odds, x).expand(*x.shape, -1), x.long()
        masked = numbers >= odds.shape[-1]
        found = odds.gather(-1, numbers.masked_fill(masked, 0).unsqueeze(-1)).squeeze(-1)
        return total(found.masked_fill(masked, 0))

    def times(self, p: Distribution, power: Tensor = ONE) -> Distribution:
        """Log-weights added; a mask has none."""
        assert isinstance(p, Categorical)
        return Categorical(p.logits + like(power, p.logits) * self._padded(p), p.values)

    def normaliser(self, p: Distribution) -> Tensor:
        """sum_i log sum_k p_i[k] exp(odds_i[k])."""
        assert isinstance(p, Categorical)
        return total((p.log_probs + self._padded(p)).logsumexp(-1))

    def _padded(self, p: Categorical) -> Tensor:
        odds = self.log_odds.to(p.logits)
        return pad(odds, (0, p.logits.shape[-1] - odds.shape[-1]))
