"""How good samples are, judged from the samples alone; knows no model."""

from undiffuse.metrics.features import Classifier, Extractor, Inception, Pixels, extract, load_features
from undiffuse.metrics.frechet import frechet, frechet_of_moments
from undiffuse.metrics.kernel import kernel_distance, mmd2
from undiffuse.metrics.neighbours import Neighbours, neighbours
from undiffuse.metrics.parzen import WIDTHS, Parzen, choose_width, log_density, parzen
from undiffuse.metrics.sliced import sliced_wasserstein

__all__ = [
    "WIDTHS",
    "Classifier",
    "Extractor",
    "Inception",
    "Neighbours",
    "Parzen",
    "Pixels",
    "choose_width",
    "extract",
    "frechet",
    "frechet_of_moments",
    "kernel_distance",
    "load_features",
    "log_density",
    "mmd2",
    "neighbours",
    "parzen",
    "sliced_wasserstein",
]
