"""Solvers by the names they were published under: settings of one integrator (`exponential`).

| name         | of    | order       | published in |
|--------------|-------|-------------|--------------|
| ddim         | data  | 1           | Song et al. 2021, eqs. 12 and 16; with eta = 1 ancestral sampling |
| dpm-solver   | noise | 1 to 3      | Lu et al. 2022 a: singlestep |
| dpm-solver++ | data  | 1 to 4      | Lu et al. 2022 b: 2M and 3M; singlestep 2S and 3S; with tau = 1 SDE |
| deis         | noise | 1 to 4      | Zhang & Chen 2023, of their polynomials those in lambda |
| unipc        | data  | 1 to 4, + 1 | Zhao et al. 2023: with a corrector of one order more |
| sa-solver    | data  | 1 to 4      | Xue et al. 2023: predictor and corrector with noise |

The published 3M has half of the second derivative that three predictions give, and so order 2.
"""

import math

from undiffuse.samplers.exponential import Clip, Exponential


class DDIM(Exponential):
    """First order; noise as in the paper, of which step by step eta^2 beta-tilde is the variance.

    Raises ValueError unless 0 <= eta <= 1.
    """

    def __init__(self, eta: float = 0.0, clip: Clip = "none") -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"eta={eta:g}: from 0 (deterministic) to 1 (as much noise as the chain)")
        super().__init__(order=1, clip=clip)
        self.eta, self.deterministic = eta, eta == 0

    def kept(self, h: float) -> tuple[float, float]:
        """sqrt(1 - eta^2 (1 - e^{-2h})) is e^{-tau^2 h}."""
        kept = math.sqrt(max(0.0, 1 + self.eta**2 * math.expm1(-2 * h)))
        return kept, (-math.log(kept) / h if 0 < kept < 1 else 0.0)


class DPMSolver(Exponential):
    """Singlestep, by noise."""

    def __init__(self, order: int = 2, clip: Clip = "none") -> None:
        super().__init__(order, singlestep=True, of="noise", clip=clip)


class DPMSolverPP(Exponential):
    """Multistep, or singlestep, by data."""

    def __init__(
        self, order: int = 2, tau: float = 0.0, singlestep: bool = False, clip: Clip = "none"
    ) -> None:
        super().__init__(order, tau, singlestep=singlestep, clip=clip)


class DEIS(Exponential):
    """Multistep, by noise."""

    def __init__(self, order: int = 3, clip: Clip = "none") -> None:
        super().__init__(order, of="noise", clip=clip)


class UniPC(Exponential):
    """Predictor, and a corrector of one order more."""

    def __init__(self, order: int = 3, clip: Clip = "none") -> None:
        super().__init__(order, corrector=order + 1, clip=clip)


class SASolver(Exponential):
    """Predictor and corrector with noise."""

    def __init__(self, order: int = 2, tau: float = 1.0, corrector: int = 3, clip: Clip = "none") -> None:
        super().__init__(order, tau, corrector, clip=clip)
