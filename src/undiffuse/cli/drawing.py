"""What `sample` and `interpolate` share: where files go, and the walks that are more than samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undiffuse.cli.console import tracked

if TYPE_CHECKING:
    from torch import Tensor

    from undiffuse.conditions import Given
    from undiffuse.runs import Run


TABLES = (".csv", ".parquet")  # endings of files that rows of a table are written to


@dataclass(frozen=True)
class Figures:
    """Where a film of the samples and a picture of their stages go; None for neither."""

    film: Path | None
    stages: Path | None

    @property
    def paths(self) -> list[Path]:
        """Those that are wanted."""
        return [path for path in (self.film, self.stages) if path is not None]


def conditioned(
    trained: "Run",
    given: "Given | None",
    guidance: float | None,
    clip: bool | None,
    stop: float | None = None,
) -> "Run":
    """The run given this, with guidance, its predictions clipped or not, stopped early, as asked for."""
    if guidance is not None and given is None:
        raise ValueError(f"--guidance {guidance:g}: towards what? give --class or --given too")
    trained = trained if clip is None else trained.clipped(clip)
    trained = trained if stop is None else trained.stopped(stop)
    return trained.told(given).guided(1.0 if guidance is None else guidance)


def named(
    given: "Given | None", guidance: float | None, clip: bool | None, stop: float | None = None
) -> list[str]:
    """Words of a file's name for these."""
    words = named_given(given)
    words += [] if guidance is None else [f"guidance{guidance:g}"]
    words += [] if stop is None else [f"stop{stop:g}"]
    return words + ([] if clip is None else ["clip" if clip else "noclip"])


def named_given(given: "Given | None") -> list[str]:
    """A class by its number, and else what tells one condition from another, whatever its file is called."""
    if given is None:
        return []
    values = list(given.values.values())
    if len(values) == 1 and values[0].shape == (1,):
        return [f"class{int(values[0])}"]
    return [f"given{given.digest().hex()[:8]}"]


def target_of(out: str | None, option: str = "--out", *endings: str) -> Path | None:
    """The path of a new file: its ending (.png or .npy, unless told) can be written, its folder exists.

    Raises FileExistsError if there is one: nothing of the user's is overwritten.
    """
    from undiffuse.runs import archive

    if out is None:
        return None
    path, endings = Path(out), endings or (".png", ".npy", *TABLES)
    if path.suffix not in endings:
        what = "samples" if option == "--out" else "films"
        raise ValueError(f"{option} {out}: {what} are written as {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option} {out}: the folder {path.parent} does not exist")
    return archive.check_file(out)


def write(trained: "Run", raw: "Tensor", stem: Path, target: Path | None) -> list[Path]:
    """Samples as picture and array beside the run, or as the one file that was asked for; rows as a table."""
    from undiffuse.data import CellSpace
    from undiffuse.diffusion import save_npy, save_picture, save_table

    if isinstance(trained.space, CellSpace) and (target is None or target.suffix in TABLES):
        return [save_table(trained, raw, target or stem.with_name(f"{stem.name}.csv"))]
    if target is None:
        array = save_npy(raw, stem.with_name(f"{stem.name}.npy"))
        picture = save_picture(trained, raw, stem)
        return [array] if picture is None else [picture, array]
    if target.suffix == ".npy":
        return [save_npy(raw, target)]
    picture = save_picture(trained, raw, target.with_suffix(""))
    assert picture is not None  # checked before they were drawn
    return [picture]


def write_rows(
    trained: "Run", raw: "Tensor", rows: "list[tuple[str, Tensor]]", stem: Path, target: Path | None
) -> list[Path]:
    """An array of rows, and a picture with one labelled row each; or the one file that was asked for."""
    from undiffuse.diffusion import has_picture, save_npy, save_rows

    paths = [stem.with_name(f"{stem.name}{end}") for end in (".png", ".npy")] if target is None else [target]
    done = []
    for path in paths:
        if path.suffix == ".npy":
            done.append(save_npy(raw, path))
        elif target is not None or has_picture(trained):
            done.append(save_rows(trained, rows, path, columns=len(rows[0][1])))
    return done


def watch(trained: "Run", n: int, seed: int, how: dict[str, Any], figures: Figures) -> "Tensor":
    """The samples, and a film or stages of how they formed, from one walk."""
    from undiffuse.diffusion import save_forming

    with tracked("sample") as track:
        return save_forming(trained, n, seed, film=figures.film, stages=figures.stages, track=track, **how)


def share(
    trained: "Run",
    n: int,
    times: list[float],
    states: int,
    seed: int,
    how: dict[str, Any],
    stem: Path,
    target: Path | None,
) -> list[Path]:
    """n samples of every shared state at every time: a row each."""
    import torch

    from undiffuse.diffusion import shared_rows
    from undiffuse.samplers import check_shared

    check_shared(states, n, how["sampler"] or trained.sampler)
    with tracked("sample") as track:
        rows = shared_rows(trained, n, times, states, seed, track, **how)
    stem = stem.with_name("-".join([stem.name, f"states{states}", *(f"share{t:g}" for t in times)]))
    return write_rows(trained, torch.stack([raw for _, raw in rows]), rows, stem, target)
