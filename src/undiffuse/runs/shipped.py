"""The trained run that comes with the package: the recipe `demo`, its weights and its facts.

It is made by `python -m tools.ship`, and is a run's folder like any other.
"""

from importlib import resources
from pathlib import Path


def shipped_run() -> Path:
    """Its folder."""
    return Path(str(resources.files("undiffuse.runs").joinpath("demo")))
