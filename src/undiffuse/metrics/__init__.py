"""How good samples are, judged from the samples alone; knows no model."""

from undiffuse.metrics.parzen import WIDTHS, Parzen, choose_width, count_ticks, log_density, parzen

__all__ = ["WIDTHS", "Parzen", "choose_width", "count_ticks", "log_density", "parzen"]
