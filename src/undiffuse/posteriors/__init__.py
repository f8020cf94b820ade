"""Posteriors: factors r that a model is multiplied by, and the rules by which they enter its steps.

`model * factor` uses the rule that was measured best; `Constant(model, factor)` and the others are chosen.
"""

from undiffuse.posteriors import operators
from undiffuse.posteriors.belief import Flat, Spread, Tweedie
from undiffuse.posteriors.both import Both
from undiffuse.posteriors.classifier import Classifier
from undiffuse.posteriors.constant import Annealed, Constant
from undiffuse.posteriors.guided import Guided
from undiffuse.posteriors.known import Known
from undiffuse.posteriors.linearised import Linearised
from undiffuse.posteriors.log_density import LogDensity
from undiffuse.posteriors.matched import Matched
from undiffuse.posteriors.measured import Linear
from undiffuse.posteriors.noisy import Noisy
from undiffuse.posteriors.noisy_classifier import NoisyClassifier
from undiffuse.posteriors.odds import Odds, SymbolOdds
from undiffuse.posteriors.replaced import Replaced
from undiffuse.posteriors.separable import Separable
from undiffuse.posteriors.tilted import Tilted
from undiffuse.product import Factor, Product

FACTORS: dict[str, type[Factor]] = {
    "known": Known,
    "noisy": Noisy,
    "linear": Linear,
    "odds": Odds,
    "symbol-odds": SymbolOdds,
    "log-density": LogDensity,
    "classifier": Classifier,
    "linearised": Linearised,
    "separable": Separable,
    "both": Both,
}
RULES: dict[str, type[Product]] = {
    "constant": Constant,
    "annealed": Annealed,
    "matched": Matched,
    "tilted": Tilted,
    "replaced": Replaced,
}

__all__ = [
    "FACTORS",
    "RULES",
    "Annealed",
    "Both",
    "Classifier",
    "Constant",
    "Factor",
    "Flat",
    "Guided",
    "Known",
    "Linear",
    "Linearised",
    "LogDensity",
    "Matched",
    "Noisy",
    "NoisyClassifier",
    "Odds",
    "Product",
    "Replaced",
    "Separable",
    "Spread",
    "SymbolOdds",
    "Tilted",
    "Tweedie",
    "operators",
]
