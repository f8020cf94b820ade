"""Posteriors: factors r that a model is multiplied by, one per file; `model * factor` is a model."""

from undiffuse.model import Factor, Product
from undiffuse.posteriors.known import Known
from undiffuse.posteriors.noisy import Noisy

FACTORS: dict[str, type[Factor]] = {"known": Known, "noisy": Noisy}

__all__ = ["FACTORS", "Factor", "Known", "Noisy", "Product"]
