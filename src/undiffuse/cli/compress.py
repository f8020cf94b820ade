"""undiffuse compress."""

from typing import TYPE_CHECKING, Annotated

import typer

from undiffuse.cli.console import Device, RunFolder, device_of, printable, show, table, ticking

if TYPE_CHECKING:
    from undiffuse.codec import Plan, Trade
    from undiffuse.recipes import Run
    from undiffuse.recipes.archive import Gathered

EXAMPLES = """
[bold]Examples[/bold]

undiffuse compress runs/first photo.png other.png -o photos.und

undiffuse compress runs/first data.npy -o data.und --steps 50

undiffuse compress runs/first --test 100 -o test.und --lossy

A lossy file is progressive: read a part of it, and the pictures are coarser; all of it, and they are exact.

undiffuse decompress runs/first photos.und -o restored
"""


def command(
    run: RunFolder,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Pictures of any size, or one .npy of whole numbers."),
    ] = None,
    out: Annotated[str, typer.Option("--out", "-o", help="The new .und file to write.")] = "out.und",
    test: Annotated[
        int | None, typer.Option("--test", help="Instead of files: so many of the run's test examples.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", help="Steps of the chain: more take longer and make it smaller. Default: few."
        ),
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="A progressive file, whose every part shows something.")
    ] = False,
    method: Annotated[
        str | None,
        typer.Option("--method", help="lossless, channel (that of --lossy) or universal (3 times as fast)."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Decompress it again before it is written.")
    ] = True,
    bound: Annotated[
        bool, typer.Option("--bound/--no-bound", help="Evaluate the model's bound, to compare.")
    ] = True,
    device: Device = "cpu",
) -> None:
    """Compress examples to about as many bits as the model's bound says, and say where every bit goes."""
    from undiffuse import codec
    from undiffuse.files import atomic
    from undiffuse.recipes import archive, load

    if (test is None) == (not files):
        raise ValueError("name files to compress, or --test N for the run's own test examples (not both)")
    how, target = method or ("channel" if lossy else "lossless"), archive.check_file(out)
    trained = load(run, device_of(device))
    codec.prepared(trained.model, how)  # what cannot be is refused at once
    trained.thinned(steps)
    found = archive.gather(trained, files or []) if test is None else archive.test_examples(trained, test)
    with ticking("choose steps", codec.candidates(how, trained.grid, steps)) as tick:
        trade = codec.choose(trained.model, found.raw, method=how, grid=trained.grid, steps=steps, tick=tick)
    plan = trade.plan(steps)
    _show_trade(trade, len(plan.places))
    calls = codec.count_calls(how, trained.shape, len(plan.places), len(found.raw))
    with ticking("compress", calls) as tick:
        data = codec.compress(
            trained.model,
            found.raw,
            method=how,
            grid=trained.grid,
            plan=plan,
            extra=found.extra,
            tick=tick,
        )
    if verify:
        with ticking("verify", calls) as tick:
            again = archive.decompress(trained, data, values=found.raw.numel(), tick=tick)
        if not bool((again == found.raw).all()):
            raise RuntimeError("the file does not give back what was compressed; nothing was written")
    with atomic(target) as handle:
        handle.write(data)
    _report(trained, found, plan, data, how, bound)
    typer.echo(printable(out))


def _show_trade(trade: "Trade", chosen: int) -> None:
    """The bound of a few numbers of steps, which is time against size."""
    rows = table(">steps", ">expected bits/dim", "")
    shown = sorted({k for k in (1, 2, 4, 8, 16, 32, 64, chosen) if k <= len(trade.bits)})
    for k in shown:
        rows.add_row(str(k), f"{trade.bits[k - 1]:.3f}", "chosen" if k == chosen else "")
    show(rows)


def _report(run: "Run", found: "Gathered", plan: "Plan", data: bytes, how: str, bound: bool) -> None:
    """Bytes, bits, and the same by other means."""
    from undiffuse import codec
    from undiffuse.recipes import weighing

    account, rows = codec.account(data), table("", ">bytes", ">bits/dim")

    def row(name: str, bits: float) -> None:
        rows.add_row(name, f"{bits / 8:,.0f}", f"{account.share(bits):.4f}")

    if bound:
        with ticking("bound", weighing.bound_calls(run, plan, found.raw)) as tick:
            value, se = weighing.chain_bound(run, plan, found.raw, how, tick)
        rows.add_row("bound on this chain", f"{value * account.values / 8:,.0f}", f"{value:.4f} +- {se:.4f}")
    row("coded data", account.data)
    row("first bits on the stack", account.start)
    row("close calls of rounding", account.calls)
    row("header and checksums", account.header)
    row("the file", account.total)
    for name, size in weighing.others(run, found.raw).items():
        row(name, 8 * size)
    show(rows)
