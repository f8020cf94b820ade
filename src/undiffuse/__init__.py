"""Diffusion probabilistic models you can sample and evaluate.

Importing the package is cheap: torch is loaded when the first part that needs it is touched.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what is loaded when it is touched, for type checkers and completion
    from undiffuse import bounds as bounds
    from undiffuse import codec as codec
    from undiffuse import data as data
    from undiffuse import diffusion as diffusion
    from undiffuse import distributions as distributions
    from undiffuse import kernels as kernels
    from undiffuse import networks as networks
    from undiffuse import objectives as objectives
    from undiffuse import parameterizations as parameterizations
    from undiffuse import plots as plots
    from undiffuse import posteriors as posteriors
    from undiffuse import recipes as recipes
    from undiffuse import reports as reports
    from undiffuse import runs as runs
    from undiffuse import samplers as samplers
    from undiffuse import schedules as schedules
    from undiffuse import training as training
    from undiffuse.diffusion import Diffusion as Diffusion
    from undiffuse.door import fit as fit
    from undiffuse.door import load as load
    from undiffuse.model import Denoiser as Denoiser
    from undiffuse.model import ReverseProcess as ReverseProcess
    from undiffuse.runs import Run as Run

from undiffuse.version import __version__ as __version__

_GROUPS = (
    "bounds",
    "codec",
    "data",
    "diffusion",
    "distributions",
    "kernels",
    "model",
    "networks",
    "objectives",
    "parameterizations",
    "plots",
    "posteriors",
    "random",
    "recipes",
    "reports",
    "runs",
    "samplers",
    "schedules",
    "tensors",
    "training",
)
_NAMES = {
    "Denoiser": "model",
    "Diffusion": "diffusion",
    "ReverseProcess": "model",
    "Run": "runs",
    "fit": "door",
    "load": "door",
}

__all__ = sorted([*_GROUPS, *_NAMES])


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(f"undiffuse.{_NAMES[name]}"), name)
    if name in _GROUPS:
        return import_module(f"undiffuse.{name}")
    raise AttributeError(f"undiffuse has no part called {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
