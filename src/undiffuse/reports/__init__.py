"""Reports on a run that print, plot and save: distances, Parzen windows, entropies, rates, papers' tables."""

from undiffuse.reports.calibration import save_calibration
from undiffuse.reports.distances import Comparison, contest, distances_of, save_distances
from undiffuse.reports.doctor import Diagnosis, examine
from undiffuse.reports.entropy import entropy_stretches, save_entropies
from undiffuse.reports.optimal import (
    Compared,
    check_variance,
    compare_variance,
    fit_variance,
    save_variance,
    variance_name,
)
from undiffuse.reports.paired import Standing, compare
from undiffuse.reports.parzen import parzen_of, protocol, save_parzen
from undiffuse.reports.progressive import (
    measure_of,
    progressive_of,
    progressive_rows,
    save_progressive,
)
from undiffuse.reports.reproduce import (
    PaperRow,
    Reproduced,
    budgeted,
    chosen,
    finish,
    measure,
    save_reproduced,
)
from undiffuse.reports.saving import drawn_of, note_of, part_of, save_evaluation

__all__ = [
    "Compared",
    "Comparison",
    "Diagnosis",
    "PaperRow",
    "Reproduced",
    "Standing",
    "budgeted",
    "check_variance",
    "chosen",
    "compare",
    "compare_variance",
    "contest",
    "distances_of",
    "drawn_of",
    "entropy_stretches",
    "examine",
    "finish",
    "fit_variance",
    "measure",
    "measure_of",
    "note_of",
    "part_of",
    "parzen_of",
    "progressive_of",
    "progressive_rows",
    "protocol",
    "save_calibration",
    "save_distances",
    "save_entropies",
    "save_evaluation",
    "save_parzen",
    "save_progressive",
    "save_reproduced",
    "save_variance",
    "variance_name",
]
