"""A diffusion with one thing changed: its condition, the range of its predictions, where its chain ends."""

from copy import copy
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from undiffuse.diffusion.containers import check_types
from undiffuse.model import ReverseProcess
from undiffuse.parameterizations import Clipped
from undiffuse.posteriors import Guided

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion

D = TypeVar("D", bound="Diffusion")


def given(of: D, label: Tensor | int, guidance: float = 1.0) -> D:
    """The run of examples with this label (-1: with none), to sample and evaluate like any other.

    Labels int64 (N,) are those of N examples that the run evaluates next.
    `guidance` above 1 leads away from what examples without a label are like, step by step (Ho & Salimans
    2022); sampled by `samplers.Particles` it is the geometric mixture of both (see `posteriors.Guided`).
    Raises ValueError for a run that was not trained on labels, or a label that it does not know.
    """
    if not isinstance(label, Tensor):
        check_types({"label": label})
    model: ReverseProcess = of.denoiser.given(label)
    if guidance != 1.0:
        model = Guided(model, of.denoiser.given(-1), guidance)
    return of.replace(model=model)


def with_labels(of: D, labels: Tensor | None) -> D:
    """The model of examples with these labels, if it was trained on labels; else itself."""
    knows = getattr(of.denoiser.network, "labels", None) is not None
    return of if labels is None or not knows else of.given(labels)


def clipped(of: D, on: bool) -> D:
    """The run whose predictions are clipped to [-1, 1], where its levels are; or not clipped at all.

    Raises ValueError for data without levels, and for symbols.
    """
    model, said = copy(of.denoiser), of.denoiser.parameterization
    if not on:
        model.parameterization = said.of if isinstance(said, Clipped) else said
    elif not isinstance(said, Clipped):
        if of.levels is None:
            raise ValueError("continuous data have no range to clip predictions to")
        model.parameterization = Clipped(said)
    return of.replace(model=model)


def stopped(of: D, t: float) -> D:
    """The run whose chain has no times before t: from its first one, x_0 is decoded.

    DDIM then gives means E[x_0 | x_t] in the place of samples. Raises ValueError unless 0 <= t <= 1.
    """
    if not 0 <= t <= 1:
        raise ValueError(f"stop={t:g}: a time from 0 (the whole chain) to 1")
    return of.replace(first=t)
