"""Arrays in, figures and animations out; knows no model.

Every function takes NumPy arrays or torch tensors and the path to write. Files are replaced in one
step, so a reader, a page or an interrupted run never sees half a picture.
"""

from undiffuse.plots.animate import check_film, save_film, save_scatter_film
from undiffuse.plots.calibration import save_calibration
from undiffuse.plots.columns import save_columns
from undiffuse.plots.curves import save_training
from undiffuse.plots.distances import save_distances
from undiffuse.plots.entropy import save_entropy
from undiffuse.plots.grid import save_grid, tile
from undiffuse.plots.monitors import save_monitors
from undiffuse.plots.progressive import save_progressive, save_received
from undiffuse.plots.rate import save_rate_distortion
from undiffuse.plots.scatter import save_points, save_trajectories
from undiffuse.plots.schedules import save_schedules
from undiffuse.plots.squared import save_squared
from undiffuse.plots.stages import save_stages
from undiffuse.plots.terms import save_terms
from undiffuse.plots.weights import save_fields, save_histograms

__all__ = [
    "check_film",
    "save_calibration",
    "save_columns",
    "save_distances",
    "save_entropy",
    "save_fields",
    "save_film",
    "save_grid",
    "save_histograms",
    "save_monitors",
    "save_points",
    "save_progressive",
    "save_rate_distortion",
    "save_received",
    "save_scatter_film",
    "save_schedules",
    "save_squared",
    "save_stages",
    "save_terms",
    "save_training",
    "save_trajectories",
    "tile",
]
