"""What all estimators share: their parameters, how data come in, and how they are kept."""

import io
import tempfile
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from undiffuse.diffusion import Filled
from undiffuse.door import fit, load
from undiffuse.extras import install

try:
    import pandas
    from sklearn.base import BaseEstimator
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(f"undiffuse.estimators: {error}; {install('sklearn')}, {install('tables')}") from error

if TYPE_CHECKING:
    from pandas import DataFrame

    from undiffuse.runs import Run

SEEDS, TARGET = 2**31 - 1, "target"


class Estimator(BaseEstimator):  # type: ignore[misc]
    """An estimator that is a trained run.

    Args:
        steps: how many to train, by default as many as are chosen for the data.
        settings: keys of the recipe, such as {"train.batch": 64}.
        random_state: keys everything random; None for another model each time.
        device: where to train.
    """

    model_: "Run"

    def __init__(
        self,
        *,
        steps: int | None = None,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
        device: str = "cpu",
    ) -> None:
        self.steps, self.settings, self.random_state, self.device = steps, settings, random_state, device

    @classmethod
    def from_run(cls, folder: str | Path, **parameters: Any) -> Self:
        """The estimator, with these parameters, of a run that was trained on a table and saved.

        Its columns are those that the run has learned.
        """
        made = cls(**parameters)
        made._take(load(folder))
        names = [name for name in made.model_.container.names if name != TARGET]
        made.n_features_in_, made.feature_names_in_ = len(names), np.array(names, dtype=object)
        return made

    def _take(self, model: "Run") -> None:
        """Have this model."""
        self.model_, self.seed_ = model, int(model.recipe["seed"])

    def _fit(self, frame: "DataFrame", **settings: Any) -> None:
        """Train a model of the rows."""
        seed = int(check_random_state(self.random_state).randint(SEEDS))
        chosen = {**settings, **dict(self.settings or {})}
        how: dict[str, Any] = {"steps": self.steps, "settings": chosen, "device": self.device}
        self._take(fit(frame, seed=seed, quiet=True, **how))

    def _frame(self, X: Any, *, reset: bool) -> "DataFrame":
        """What came in as a DataFrame, holes and all. Raises ValueError for other columns than at first."""
        if hasattr(X, "columns"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if reset and not len(X):
                raise ValueError("found array with 0 sample(s) while a minimum of 2 is required")
            return X.rename(columns=str)
        low = 2 if reset else 1
        X = validate_data(self, X, reset=reset, ensure_all_finite="allow-nan", ensure_min_samples=low)
        return pandas.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])

    def _drawn(self, frame: "DataFrame", n: int) -> Filled:
        """So many draws of what is missing."""
        found = self.model_.impute(frame, n=n, seed=self.seed_)
        assert isinstance(found, Filled)
        return found

    def _fitted(self, X: Any) -> "DataFrame":
        """The same, of an estimator that was fitted."""
        check_is_fitted(self, "model_")
        return self._frame(X, reset=False)

    def _like(self, X: Any, frame: "DataFrame") -> Any:
        """Rows as a DataFrame if such came in, else an array."""
        return frame if hasattr(X, "columns") else frame.to_numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = _packed(self.model_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state.pop("model_", None)
        super().__setstate__(state)
        if packed is not None:
            self.model_ = _unpacked(packed)


def natural(bits: Any, dims: int) -> Any:
    """log p in nats of bits per dimension."""
    return -np.asarray(bits, np.float64) * dims * np.log(2)


def _packed(run: "Run") -> bytes:
    """The files of a run."""
    with tempfile.TemporaryDirectory() as root:
        folder = run.save(Path(root) / "run")
        found = io.BytesIO()
        with zipfile.ZipFile(found, "w") as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
        return found.getvalue()


def _unpacked(packed: bytes) -> "Run":
    """The run of these files, in a folder that goes when nobody has it any more."""
    root = Path(tempfile.mkdtemp(prefix="undiffuse-"))
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(root / "run")
    run = load(root / "run", data=root / "run")
    weakref.finalize(run, rmtree, root, ignore_errors=True)
    return run
