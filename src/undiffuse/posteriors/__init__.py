"""Posteriors: factors r that a model is multiplied by, one per file; `model * factor` is a model."""

from undiffuse.model import Factor, Product
from undiffuse.posteriors.classified import Classified
from undiffuse.posteriors.guided import Guided
from undiffuse.posteriors.known import Known
from undiffuse.posteriors.noisy import Noisy

FACTORS: dict[str, type[Factor]] = {"known": Known, "noisy": Noisy, "classified": Classified}

__all__ = ["FACTORS", "Classified", "Factor", "Guided", "Known", "Noisy", "Product"]
