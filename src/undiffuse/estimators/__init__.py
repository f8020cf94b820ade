"""Estimators by scikit-learn's conventions: thin ones over `undiffuse.fit`, for pipelines and searches.

    from undiffuse.estimators import DiffusionDensity, DiffusionImputer, DiffusionOutlier

Arrays and DataFrames go in and come out alike; of a DataFrame columns may be numbers, words, dates, with
holes. `model_` is the trained run, with everything that it can do; `estimator.model_.save(folder)` keeps it,
and `DiffusionDensity.from_run(folder)` has it again. Pickles of a fitted estimator hold the files of its run.
"""

from undiffuse.estimators.base import Estimator
from undiffuse.estimators.density import DiffusionDensity
from undiffuse.estimators.imputer import DiffusionImputer
from undiffuse.estimators.outlier import DiffusionOutlier
from undiffuse.estimators.regressor import DiffusionRegressor

__all__ = ["DiffusionDensity", "DiffusionImputer", "DiffusionOutlier", "DiffusionRegressor", "Estimator"]
