"""What an error tells to install is what pyproject.toml asks for."""

import tomllib
from pathlib import Path

import pytest

from undiffuse.extras import EXTRAS, install
from undiffuse.trackers import TRACKERS

ROOT = Path(__file__).parents[1]


def test_every_extra_is_its_packages():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name: [package] for name, package in EXTRAS.items()} == {
        name: packages for name, packages in wanted.items() if name not in ("test", "dev")
    }
    assert install("codec") == f"pip install '{wanted['codec'][0]}'"


@pytest.mark.parametrize("name", TRACKERS)
def test_trackers_are_extras(name):
    assert TRACKERS[name].extra in EXTRAS


def test_nobody_is_sent_to_an_index_for_this_package():
    texts = [
        *ROOT.glob("src/**/*.py"),
        *ROOT.glob("src/**/*.yaml"),
        *ROOT.glob("docs/**/*.md"),
        ROOT / "README.md",
    ]
    assert not [path for path in texts if "undiffuse[" in path.read_text()]
