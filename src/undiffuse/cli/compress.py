"""undiffuse compress."""

from typing import TYPE_CHECKING, Annotated

import typer

from undiffuse.cli.console import LOG, device_of, printable, show, table, tracked
from undiffuse.cli.options import DataDir, Device, GivenFiles, Label, RunFolder

if TYPE_CHECKING:
    from undiffuse.runs import Chosen, Packed, Run
    from undiffuse.runs.archive import Gathered

EXAMPLES = """
[bold]Examples[/bold]

undiffuse compress runs/first photo.png other.png -o photos.und

undiffuse compress runs/first data.npy -o data.und --steps 50

undiffuse compress runs/table rows.csv -o rows.und

undiffuse compress runs/first --test 100 -o test.und --lossy

A lossy file is progressive: read a part of it, and the pictures are coarser; all of it, and they are exact.

undiffuse decompress runs/first photos.und -o restored
"""


def command(
    run: RunFolder,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Pictures of any size, one .npy of whole numbers, or one .csv or .parquet.",
        ),
    ] = None,
    out: Annotated[str, typer.Option("--out", "-o", help="The new .und file to write.")] = "out.und",
    test: Annotated[
        int | None, typer.Option("--test", help="Instead of files: so many of the run's test examples.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", help="Steps of the chain. Default: few that make a small file."),
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="A progressive file, whose every part shows something.")
    ] = False,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="lossless, channel or universal. Default: what makes the smaller file of lossless and "
            "universal, or of channel and universal if --lossy.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Decompress it again before it is written.")
    ] = True,
    bound: Annotated[
        bool, typer.Option("--bound/--no-bound", help="Evaluate the model's bound, to compare.")
    ] = True,
    label: Label = None,
    given: GivenFiles = None,
    data_dir: DataDir = None,
    device: Device = "cpu",
) -> None:
    """Compress examples to about as many bits as the model's bound says, and say where every bit goes.

    The file needs this run at its present step; that checkpoint is kept in RUN/pinned as training goes on.
    What the run is given, if anything, is not in the file: `decompress` needs it again.
    """
    from undiffuse import codec
    from undiffuse.files import atomic
    from undiffuse.runs import archive, given_from, load, pack, ways

    codec.ready()  # before any work
    if (test is None) == (not files):
        raise ValueError("name files to compress, or --test N for the run's own test examples (not both)")
    target, trained = archive.check_file(out), load(run, device_of(device), data=data_dir)
    trained = trained.told(given_from(trained, label, given or ()))
    methods = ways(trained, method, lossy, steps)  # what cannot be is refused at once
    found = archive.gather(trained, files or []) if test is None else archive.test_examples(trained, test)
    kept = _pin(trained)
    with tracked("compress") as track:
        packed = pack(trained, found.raw, methods, steps, extra=found.extra, verify=verify, track=track)
    with atomic(target) as handle:
        handle.write(packed.data)
    _show_trade(packed.chosen, packed.others, packed.missing)
    _report(trained, found, packed, bound)
    typer.echo(f"to be read with this run at step {trained.step:,}, {kept}")
    typer.echo(printable(out))


def _pin(run: "Run") -> str:
    """Where the checkpoint is that the file will need."""
    from undiffuse.files import WriteError
    from undiffuse.runs import pin

    try:
        return f"which is kept as training goes on: {printable(str(pin(run)))}"
    except WriteError as error:
        return f"which you must keep yourself: {printable(str(error))}"


def _show_trade(chosen: "Chosen", others: "list[Chosen]", missing: str) -> None:
    """What new examples are expected to cost by a few numbers of steps, which is time against size."""
    rows = table("method", ">steps", ">expected bits/dim", ">s.e.", ">this file, bytes", "")
    count, trade, taken = chosen.count, chosen.trade, chosen.option
    shown = [trade.best(count, k) for k in (1, 2, 4, 8, 16, 32, 64) if k in trade.lengths]
    ladder = sorted({*shown, taken}, key=lambda each: (each.steps, each is taken))
    listed = [(chosen.method, trade, each) for each in ladder]
    for name, of, each in [*listed, *((other.method, other.trade, other.option) for other in others)]:
        numbers = f"{each.bits:.3f}", f"{each.se:.3f}", f"{of.size(each, count):,.0f}"
        rows.add_row(name, str(each.steps), *numbers, "chosen" if each is taken else "")
    show(rows)
    if missing:
        LOG.warning(
            "steps were chosen and weighed on these examples, not on the run's data: new ones cost more (%s)",
            missing,
        )


def _report(run: "Run", found: "Gathered", packed: "Packed", bound: bool) -> None:
    """Bytes, bits, and the same by other means."""
    from undiffuse import codec
    from undiffuse.reports import weighing

    data, chosen = packed.data, packed.chosen
    account, rows = codec.account(data), table("", ">bytes", ">bits/dim")

    def row(name: str, bits: float) -> None:
        rows.add_row(name, f"{bits / 8:,.0f}", f"{account.share(bits):.4f}")

    if bound:
        with tracked("bound") as track:
            value, se = weighing.chain_bound(run, chosen.option.plan, found.raw, chosen.method, track)
        rows.add_row("bound on this chain", f"{value * account.values / 8:,.0f}", f"{value:.4f} +- {se:.4f}")
    row("coded data", account.data)
    row("first bits on the stack", account.start)
    row("close calls of rounding", account.calls)
    row("header and checksums", account.header)
    row("the file", account.total)
    others = weighing.others(run, found.raw)
    for name, size in others.items():
        row(name, 8 * size)
    show(rows)
    for name in (name for name in others if others[name] < len(data)):
        typer.echo(f"{name} is smaller: {others[name]:,} bytes, this file has {len(data):,}")
