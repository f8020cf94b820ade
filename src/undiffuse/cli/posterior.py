"""What `inpaint`, `denoise`, `restore` and `impute` share: options, where files go, and what is printed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from undiffuse.cli.console import printable, show, table, tracked
from undiffuse.cli.drawing import named_given

if TYPE_CHECKING:
    from torch import Tensor

    from undiffuse.diffusion import Posterior, Way
    from undiffuse.posteriors import Factor
    from undiffuse.runs import Run

LINES = 10  # elements in a printed table

Count = Annotated[
    int | None, typer.Option("-n", help="How many samples. Default: 16 (20 of a table), or all particles.")
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="How the observation enters the steps: matched, flat (matched without the network's Jacobian: "
        "faster), constant or annealed (2015) for numbers; tilted, constant or annealed for bits and "
        "symbols. Default: the best measured.",
    ),
]
MethodOfKnown = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="How the observation enters the steps: matched, flat (matched without the network's Jacobian: "
        "faster) for numbers; tilted for bits and symbols; constant or annealed (2015), replaced (RePaint) "
        "for all. Default: the best measured.",
    ),
]
Times = Annotated[
    int | None, typer.Option("--times", help="With --method replaced: visits of every step. Default: 10.")
]
Weighed = Annotated[
    int | None,
    typer.Option(
        "--particles",
        help="Weigh samples in groups of so many: right for any method as the groups grow. Default: 64 for "
        "examples of up to 32 numbers, none for others and for tables, which are told what is known.",
    ),
]
WithEvidence = Annotated[
    bool, typer.Option("--evidence", help="Also how probable the observation is under the model.")
]
Groups = Annotated[
    int | None, typer.Option("--groups", help="With --evidence: groups of particles. Default: 8.")
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        help="A folder, or what files' names begin with. Default: under RUN/samples. Of a table a new .csv "
        "or .parquet; default: beside it, -filled.",
    ),
]
Index = Annotated[
    int | None, typer.Option("--index", help="Instead of a file: this example of the test data.")
]


@dataclass(frozen=True)
class Asked:
    """The options that the verbs share."""

    n: int
    seed: int
    label: str | None
    given: tuple[str, ...]
    way: "Way"
    out: str | None

    @property
    def words(self) -> list[str]:
        """Of a file's name: whatever makes these samples others."""
        way = self.way
        named = {"steps": way.steps, "times": way.times}
        named |= {"particles": way.group, "groups": way.groups}
        words = [f"seed{self.seed}", f"n{self.n}"] + ([] if way.method is None else [way.method])
        return words + [f"{name}{value}" for name, value in named.items() if value is not None]


def asked(
    n: int | None,
    seed: int,
    steps: int | None,
    label: str | None,
    given: list[str] | None,
    method: str | None,
    particles: int | None,
    evidence: bool,
    groups: int | None,
    out: str | None,
    times: int | None = None,
) -> Asked:
    """The options, checked. Raises ValueError for what does not go together."""
    from undiffuse.diffusion import Way, check_range

    if groups is not None and not evidence:
        raise ValueError(f"--groups {groups}: they are for --evidence")
    _check_folder(out)
    way = Way(method, times, particles, (8 if groups is None else groups) if evidence else None, steps)
    n = n if n is not None else 16 if particles is None else particles
    check_range(n, 0)
    return Asked(n, seed, label, tuple(given or ()), way, out)


def open_run(
    folder: str, device: str, options: Asked, data_dir: str | None, index: int | None = None
) -> "Run":
    """The run, given what was asked for, or what the test example of this index is given."""
    from undiffuse.cli.console import device_of
    from undiffuse.runs import given_from, given_test, load

    trained = load(folder, device_of(device), data=data_dir)
    trained.thinned(options.way.steps)
    given = given_from(trained, options.label, options.given)
    if given is None and index is not None and trained.denoiser.conditions:
        given = given_test(trained, index)
    return trained.told(given)


def one_of(file: str | None, index: int | None) -> str:
    """The file's name without its ending, or the index: a word of the results' names."""
    if (file is None) == (index is None):
        raise ValueError("give a file, or --index I for an example of the test data")
    return str(index) if file is None else Path(file).stem


def noise_like(raw: "Tensor", width: float, seed: int) -> "Tensor":
    """Raw float64 with normal noise of this width, for a test example that is to be recovered."""
    from undiffuse.random import keyed, normal

    return raw.double() + width * normal(tuple(raw.shape), keyed(seed, "observation"))


def follow(
    verb: str,
    run: "Run",
    factor: "Factor",
    options: Asked,
    draw: Callable[..., "Posterior"],
    examples: int = 1,
) -> "Posterior":
    """The posterior, with a progress bar; what does not go together is refused before it."""
    way = options.way.settled(run.model, run.shape)
    way.product(run.model, factor)
    with tracked(verb) as track:
        return draw(n=options.n, seed=options.seed, way=way, track=track)


def report(
    verb: str,
    run: "Run",
    found: "Posterior",
    seen: "Tensor",
    truth: "Tensor | None",
    words: list[str],
    options: Asked,
) -> None:
    """Print what was done, then write all files, and print where they are."""
    from undiffuse.diffusion import has_picture, save_posterior

    for line in summary(found, options.way.settled(run.model, run.shape).group):
        typer.echo(line)
    if not has_picture(run) or run.shape == (2,):
        show(_elements(found, seen))
    asked = options.label is not None or options.given
    told = named_given(run.denoiser.condition) if asked else []
    stem = _stem(run, "-".join([verb, *words, *options.words, *told]), options.out)
    for path in save_posterior(run, found, seen, truth, stem):
        typer.echo(printable(str(path)))


def _check_folder(out: str | None) -> None:
    """Raise for a place where nothing can be written, FileExistsError where something of the user's is."""
    from undiffuse.runs import archive

    if out is None or Path(out).is_dir():
        return
    if Path(out).suffix in (".png", ".npy"):
        raise ValueError(
            f"--out {out}: several files are written; give a folder, or a name without its ending"
        )
    if not Path(out).parent.is_dir():
        raise FileNotFoundError(f"--out {out}: the folder {Path(out).parent} does not exist")
    for end in ("", "-mean", "-std", "-sheet"):
        for kind in ("npy", "png"):
            archive.check_file(f"{out}{end}.{kind}")


def _stem(run: "Run", name: str, out: str | None) -> Path:
    if out is None:
        return run.folder / "samples" / name
    return Path(out) / name if Path(out).is_dir() else Path(out)


def summary(found: "Posterior", group: int | None) -> list[str]:
    """Method, how even the weights were, the evidence."""
    import math

    lines = [f"method: {found.method}"]
    if found.size is not None and group is not None:
        lines.append(f"effective sample size: {found.size * group:.1f} of {group} at the least")
    if found.log_evidence is not None and found.se is not None:
        nats, se = found.log_evidence, found.se
        bits, bits_se = nats / math.log(2), se / math.log(2)
        lines.append(f"log evidence: {nats:.4f} +- {se:.4f} nats, {bits:.4f} +- {bits_se:.4f} bits")
    return lines if found.doubt is None else [*lines, f"warning: {found.doubt}"]


def _elements(found: "Posterior", seen: "Tensor") -> Any:
    """What was seen, mean and standard deviation of the first few elements."""
    import torch

    rows = table("example", "element", ">seen", ">mean", ">std")
    mean, std = found.mean, found.std
    places = torch.cartesian_prod(*(torch.arange(size) for size in mean.shape)).view(-1, mean.ndim)
    for place in places[:LINES].tolist():
        at = tuple(place)
        value = float(seen[at]) if seen.shape == mean.shape else float("nan")
        cells = ["" if value != value else f"{value:.5g}", f"{float(mean[at]):.5g}", f"{float(std[at]):.3g}"]
        rows.add_row(str(place[0]), ",".join(map(str, place[1:])), *cells)
    if len(places) > LINES:
        rows.add_row("...", f"{len(places):,} in all")
    return rows
