"""Options that several verbs have, so that each has one name and one meaning."""

from typing import Annotated

import typer

DEVICES = "auto, cpu, cuda, cuda:N or mps (a GPU of Apple's)"


def _seed(value: int) -> int:
    """The value, if a generator takes it."""
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"--seed {value}: a whole number within 64 bits")
    return value


RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="Folder of a trained run.")]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir", metavar="PATH", help="Where the run's data are now. Default: as it was trained."
    ),
]
Device = Annotated[str, typer.Option("--device", help=f"Where to compute: {DEVICES}.")]
Seed = Annotated[int, typer.Option("--seed", callback=_seed, help="Random seed: keys every random draw.")]
Steps = Annotated[
    int | None,
    typer.Option("--steps", help="Steps of the chain: thin it to so many (sampling steps). Default: all."),
]
Stop = Annotated[
    float | None,
    typer.Option(
        "--stop",
        help="Leave the chain's times before this t out: x_0 is decoded there (without noise: its mean). "
        "Default: 0.",
    ),
]
SamplerName = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help="ancestral, ddim, dpm-solver, dpm-solver++, deis, unipc, sa-solver, exponential (any of these), "
        "langevin, resampled or counted (of masks), with its arguments: 'dpm-solver++ order=3'. Default: the "
        "recipe's.",
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="FILE",
        help="Compare in the features of this .safetensors file: a classifier, or Inception's weights "
        "for FID. Default: pixels.",
    ),
]
Split = Annotated[str, typer.Option("--split", help="test or train.")]
Examples = Annotated[int | None, typer.Option("--examples", help="Only the first so many. Default: all.")]
Terms = Annotated[
    int | None,
    typer.Option(
        "--terms",
        help="Steps computed for each example, drawn at random (unbiased); 0 for all. Default: the recipe's.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option("--class", help="Class by number or name, for runs that are given one; -1 is none."),
]
GivenFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--given",
        metavar="[NAME=]FILE",
        help="What the run is given: a picture, an .npy, a .csv; one for all, or one for each example. "
        "Of several conditions each by its name.",
    ),
]
ResultsFolder = Annotated[
    str | None,
    typer.Option("--out", help="New folder for the files. Default: the run's, which may be read-only."),
]
