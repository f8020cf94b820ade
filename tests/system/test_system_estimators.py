"""Estimators by scikit-learn's own checks, in pipelines and searches, with words and holes, kept in files."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from test_system_table import FAST, FRAME

from undiffuse.estimators import DiffusionDensity, DiffusionImputer, DiffusionOutlier, DiffusionRegressor

TINY = {"network.hidden": 8, "grid.steps": 8, "train.batch": 16, "train.watch": 0.0, "evaluate_terms": 4}
HOW = {"steps": 0, "settings": TINY}
CHECKED = [
    DiffusionDensity(**HOW),
    DiffusionImputer(3, **HOW),
    DiffusionOutlier(**HOW),
    DiffusionRegressor(10, **HOW),
]
PLACE = "draws are keyed by a row's place, so that rows that are alike have draws of their own"
EXCUSED = {
    "check_methods_sample_order_invariance": PLACE,
    "check_methods_subset_invariance": PLACE,
}
R = np.random.default_rng(0)


def excused(estimator: object) -> dict[str, str]:
    """An imputer leaves rows without holes as they are, wherever they stand."""
    return {} if isinstance(estimator, DiffusionImputer) else EXCUSED


@parametrize_with_checks(CHECKED, expected_failed_checks=excused)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_a_density_of_words_numbers_and_holes():
    made = DiffusionDensity(steps=30, settings=FAST, random_state=0).fit(FRAME)
    own = made.score_samples(FRAME)
    assert own.shape == (len(FRAME),) and made.score(FRAME) == pytest.approx(own.mean())
    odd = FRAME.assign(count=9 - FRAME["count"])
    assert made.score(odd) < made.score(FRAME) - 1
    rows = made.sample(5, random_state=3)
    assert list(rows.columns) == ["size", "big", "kind", "count"] and len(rows) == 5
    model = made.model_
    assert np.allclose(own, -np.log(2) * 4 * model.bits(FRAME, made.seed_))


def test_what_is_kept_is_the_runs_files(tmp_path):
    made = DiffusionDensity(steps=2, settings=FAST, random_state=0).fit(FRAME)
    again = pickle.loads(pickle.dumps(made))
    assert np.array_equal(again.score_samples(FRAME), made.score_samples(FRAME))
    made.model_.save(tmp_path / "run")
    loaded, learned = DiffusionDensity.from_run(tmp_path / "run"), FRAME.drop(columns="name")
    assert loaded.sample(3, 1).equals(made.sample(3, 1))
    assert np.array_equal(loaded.score_samples(learned), made.score_samples(FRAME))
    strict = DiffusionOutlier.from_run(tmp_path / "run", false_alarm_rate=0.05)
    assert strict.offset_ <= DiffusionOutlier.from_run(tmp_path / "run", false_alarm_rate=0.5).offset_
    assert set(strict.predict(learned)) <= {-1, 1}
    with pytest.raises(ValueError, match="no column 'target'"):
        DiffusionRegressor.from_run(tmp_path / "run")
    with pytest.raises(NotFittedError):
        DiffusionDensity().score_samples(FRAME)


def test_an_imputer_in_a_pipeline():
    x = R.normal(size=(200, 3))
    x[:, 2] = x[:, 0] - x[:, 1] + 0.1 * R.normal(size=200)
    y = x @ [1.0, 2.0, 3.0]
    holes = np.where(R.random(x.shape) < 0.2, np.nan, x)
    made = make_pipeline(DiffusionImputer(9, random_state=0, **HOW), LinearRegression()).fit(holes, y)
    assert made.score(holes, y) > 0.85  # of the mean of columns 0.75
    imputer = made[0]
    filled = imputer.transform(holes)
    assert np.array_equal(filled[~np.isnan(holes)], holes[~np.isnan(holes)]) and not np.isnan(filled).any()
    first, second = imputer.sample(holes, 2)
    assert not np.array_equal(first, second)
    table = DiffusionImputer(3, random_state=0, **HOW).fit_transform(FRAME)
    assert list(table.columns) == list(FRAME.columns) and table["name"].equals(FRAME["name"])
    assert not table.isna().any(axis=None)


def test_outliers_are_few_among_rows_that_are_alike():
    x = R.normal(size=(900, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
    made = DiffusionOutlier(0.1, random_state=0, **HOW).fit(x[:500])
    share = (made.predict(x[500:]) == -1).mean()
    assert 0.01 < share < 0.25  # 50 held out: an error of 0.045
    assert (made.predict(np.array([[2.0, -2.0], [-3.0, 3.0]])) == -1).all()
    assert ((made.decision_function(x) < 0) == (made.predict(x) == -1)).all()
    assert np.allclose(made.decision_function(x) + made.offset_, made.score_samples(x))
    with pytest.raises(ValueError, match="false_alarm_rate=2: a share"):
        DiffusionOutlier(2).fit(x)


def test_a_number_given_the_rest():
    """Linear and normal: the base knows the law, y ~ N(x_0 - x_1, 1/4)."""
    x = R.normal(size=(600, 2))
    y = x[:, 0] - x[:, 1] + 0.5 * R.normal(size=600)
    made = DiffusionRegressor(200, random_state=0, steps=0).fit(x, y)
    new = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    assert np.allclose(made.predict(new), [1, -1, 2], atol=0.25)
    low, middle, high = made.predict_quantiles(new).T
    assert np.allclose(high - low, 2 * 1.645 * 0.5, rtol=0.25) and np.allclose(middle, [1, -1, 2], atol=0.3)
    exact = -0.5 * np.log(2 * np.pi * 0.25) - (y - x[:, 0] + x[:, 1]) ** 2 / 0.5
    found = made.score_samples(x, y)
    assert found.mean() == pytest.approx(exact.mean(), abs=0.1) and np.corrcoef(found, exact)[0, 1] > 0.5
    assert made.sample(new, 7).shape == (3, 7)
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(word=np.where(x[:, 0] > 0, "up", None))
    assert DiffusionRegressor(20, random_state=0, steps=0).fit(frame, y).score(frame, y) > 0.8
    with pytest.raises(ValueError, match="rename it"):
        DiffusionRegressor(steps=0).fit(frame.assign(target=1.0), y)


def test_parameters_can_be_searched():
    x = R.normal(size=(80, 2))
    found = GridSearchCV(DiffusionDensity(settings=TINY, random_state=0), {"steps": [0, 1]}, cv=2).fit(x)
    assert found.best_params_["steps"] in (0, 1) and np.isfinite(found.best_score_)
