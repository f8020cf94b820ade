"""Whether a model goes with its data, and what it is given can be meant."""

from typing import TYPE_CHECKING

from torch import Tensor

from undiffuse.data import Affine, CellSpace, Levels, Space, Symbols
from undiffuse.kernels import Mixed
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import DiscretizedDecoder

if TYPE_CHECKING:
    from undiffuse.diffusion.diffusion import Diffusion


def check_fit(model: ReverseProcess, space: Space) -> None:
    """Raise ValueError for a space that the model's kernel or decoder are not made for.

    A density in the place of probabilities is a number like another, and a wrong one.
    """
    if isinstance(space, CellSpace) != isinstance(model.kernel, Mixed):
        raise ValueError(
            "a table of several kinds of columns goes with kernel.kind=mixed, and nothing else does"
        )
    symbols = model.kernel.symbols
    if (symbols is not None) != isinstance(space, Symbols) or (symbols or space.levels) != space.levels:
        wanted = "numbers: a space of levels or an affine one" if symbols is None else f"Symbols({symbols})"
        raise ValueError(f"space={space.state()}: the model's kernel is for {wanted}")
    if not isinstance(model, Denoiser) or symbols is not None:
        return
    decoder = model.decoder
    if isinstance(space, Affine) and isinstance(decoder, DiscretizedDecoder):
        raise ValueError(
            f"decoder={decoder.levels} levels: the data are continuous, a decoder of levels gives "
            "probabilities that they do not have; leave it out, or use NormalDecoder()"
        )
    if isinstance(space, Levels) and getattr(decoder, "levels", None) != space.levels:
        found = f"one of {decoder.levels}" if isinstance(decoder, DiscretizedDecoder) else "a density"
        raise ValueError(
            f"decoder: the data have {space.levels} levels, the model ends with {found}; "
            f"use DiscretizedDecoder({space.levels}), or leave the decoder out"
        )


def check_range(n: int, first: int) -> None:
    """Raise ValueError unless there are samples first .. first + n - 1."""
    if n < 1:
        raise ValueError(f"n={n}: draw at least one sample")
    if not 0 <= first < 2**62:
        raise ValueError(f"first={first}: samples are numbered from 0 to {2**62:.1e}")


def check(run: "Diffusion", raw: Tensor) -> None:
    """Raise ValueError unless raw (B, *shape) has examples, and of the run's shape."""
    if tuple(raw.shape[1:]) != run.shape:
        raise ValueError(f"examples of shape {tuple(raw.shape[1:])}: this run has {run.shape}")
    if not len(raw):
        raise ValueError("no examples: give one at least")


def check_density(run: "Diffusion", raw: Tensor) -> None:
    """Raise ValueError unless a density at these raw examples means what the run's data say it does.

    Where noise makes steps continuous, the density at a step itself bounds nothing: it may be higher than the
    average over the noise.
    """
    check(run, raw)
    if run.noise is not None and run.noise.missing(raw):
        given = "raw + u" if run.noise.of_levels else "raw + spacing * (u - 1/2)"
        said = "dequantize=true" if run.noise.of_levels else f"data.spacing={run.noise.width.tolist()}"
        raise ValueError(
            f"raw: without its noise; this model is of steps with noise ({said}): give it {given}, with u "
            "uniform in [0, 1), or with_noise(raw)"
        )
