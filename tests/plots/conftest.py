import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image


@pytest.fixture
def opened() -> Callable[[Path], np.ndarray]:
    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    return read


@pytest.fixture
def looks_drawn(opened: Callable[[Path], np.ndarray]) -> Callable[[Path], None]:
    """A figure of sensible size, white at the corners, with coloured ink on it."""

    def check(path: Path) -> None:
        picture = opened(path).astype(int)
        height, width = picture.shape[:2]
        assert 700 <= width <= 2400 and 400 <= height <= 1800
        assert (picture[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
        ink = (picture < 250).any(-1)
        assert 0.005 < ink.mean() < 0.6
        vivid = np.ptp(picture, axis=-1) > 60
        assert vivid.sum() > 30
        assert [other.name for other in path.parent.iterdir()] == [path.name]

    return check


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Figure]]:
    """Figures of a module, kept instead of saved, to read the drawn numbers back."""

    def keep(name: str) -> list[Figure]:
        boards: list[Figure] = []
        module = importlib.import_module(f"undiffuse.plots.{name}")
        monkeypatch.setattr(module, "save", lambda board, path: boards.append(board))
        return boards

    return keep
