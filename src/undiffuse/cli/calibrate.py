"""undiffuse calibrate."""

from typing import Annotated, Any

import typer

from undiffuse.cli.console import device_of, show, table, tracked
from undiffuse.cli.options import DataDir, Device, ResultsFolder, RunFolder, Seed, Steps

EXAMPLES = """
[bold]Examples[/bold]

undiffuse calibrate runs/table --missing 0.3

undiffuse calibrate runs/table --task predict --column price

undiffuse calibrate runs/theta --task sample --examples 200

undiffuse calibrate runs/first --task inpaint --mask left --examples 20 --steps 50

undiffuse calibrate runs/first --task restore --operator downsample:2 --std 0.1 --examples 20
"""


def command(
    run: RunFolder,
    task: Annotated[
        str,
        typer.Option(
            help="What is drawn: impute (values missing at random), predict (columns from the others), "
            "inpaint, denoise, restore; sample (whole examples, given what the run is given of each)."
        ),
    ] = "impute",
    missing: Annotated[
        float | None, typer.Option(help="With impute: the share of values that are hidden. Default: 0.3.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME", help="With predict: a column to predict; can be repeated."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="With inpaint: left, right, top, bottom, centre, or a file. Default: centre."),
    ] = None,
    std: Annotated[
        float | None, typer.Option(help="With denoise and restore: the noise's width. Default: 0.3.")
    ] = None,
    operator: Annotated[
        str | None, typer.Option(help="With restore: as of that command. Default: downsample:4.")
    ] = None,
    examples: Annotated[int, typer.Option(help="How many of the test data, at most.")] = 500,
    n: Annotated[
        int, typer.Option("-n", help="Draws of each; with 39 there are intervals of 50, 80, 90, 95 %.")
    ] = 39,
    steps: Steps = None,
    seed: Seed = 0,
    out: ResultsFolder = None,
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Whether what is drawn is as uncertain as it should be: on test data, where the truth is known.

    How much intervals hold, the rank of the truth among draws (flat if all is well), CRPS and energy score of
    numbers, Brier score of symbols: one table, one figure.
    """
    from undiffuse.cli.evaluating import Results
    from undiffuse.diffusion import Way
    from undiffuse.recipes import load_data
    from undiffuse.reports import save_calibration
    from undiffuse.runs import load, read_mask

    given = {"missing": missing, "column": columns or None, "mask": mask, "std": std, "operator": operator}
    asked = _asked(task, given)
    trained = load(run, device_of(device), data=data_dir)
    trained.thinned(steps)
    results = Results.of(trained, out)
    if "mask" in asked:
        asked["mask"] = read_mask(trained, asked["mask"])
    raw, told = load_data(trained.recipe).examples("test", slice(examples))
    with tracked("calibrate") as track:
        found = trained.told(told).in_tensors.calibrate(
            raw, **asked, n=n, seed=seed, way=Way(steps=steps), track=track
        )
    typer.echo(str(found))
    if found.columns:
        show(_columns(found.columns))
    name = "-".join([task, f"{len(raw)}-examples", *([] if steps is None else [f"{steps}-steps"])])
    results.write(lambda folder: save_calibration(found, folder, name))


def _asked(task: str, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `calibrate` for a task. Raises ValueError for options of another."""
    takes: dict[str, dict[str, Any]] = {
        "impute": {"missing": 0.3},
        "predict": {"column": None},
        "inpaint": {"mask": "centre"},
        "denoise": {"std": 0.3},
        "restore": {"std": 0.3, "operator": "downsample:4"},
        "sample": {},
    }
    if task not in takes:
        raise ValueError(f"--task {task}: choose {', '.join(takes)}")
    other = [name for name, value in given.items() if value is not None and name not in takes[task]]
    if other:
        taken = ", ".join(f"--{name}" for name in takes[task]) or "none of these"
        raise ValueError(f"--{other[0]}: not of --task {task}, which takes {taken}")
    found = {name: default if given[name] is None else given[name] for name, default in takes[task].items()}
    if task == "sample":
        return {"missing": 1.0}
    if task == "predict":
        if not found["column"]:
            raise ValueError("--task predict: which column? Give --column NAME")
        return {"columns": found["column"]}
    return found


def _columns(columns: Any) -> Any:
    """A line for each column of a table."""
    from undiffuse.metrics.calibration import Numbers

    shown = table("column", ">hidden", ">90 % hold", ">s.e.", ">ranks, p", ">CRPS", ">Brier", ">truth")
    for name, each in columns.items():
        if isinstance(each, Numbers):
            share = min(each.coverage, key=lambda share: abs(share - 0.9))
            held = each.coverage[share]
            crps, uniform = f"{each.crps.mean:.4f}", f"{each.uniform:.2g}"
            cells = (f"{held.mean:.1%}", f"{held.se:.1%}", uniform, crps, "", "")
        else:
            cells = ("", "", "", "", f"{each.brier.mean:.4f}", f"{each.truth.mean:.1%}")
        shown.add_row(name, f"{each.count:,}", *cells)
    return shown
