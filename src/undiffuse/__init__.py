"""Diffusion probabilistic models you can sample and evaluate.

Importing the package is cheap: torch is loaded when the first part that needs it is touched.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

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
