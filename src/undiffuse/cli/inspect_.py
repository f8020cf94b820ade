"""undiffuse inspect."""

from typing import Annotated

import typer

from undiffuse.cli.console import show, table

EXAMPLES = """
[bold]Example[/bold]

undiffuse inspect photos.und
"""


def command(file: Annotated[str, typer.Argument(metavar="FILE.und", help="A compressed file.")]) -> None:
    """Say what a .und file holds, how it was coded and where its bits go; needs no model."""
    from undiffuse import codec
    from undiffuse.runs import archive

    with archive.naming(file):
        data = archive.read_file(file)
        header, _ = codec.unpack(data, 2**63)
        account = codec.account(data)
    rows = table("", ">")
    plan = header.plan
    rows.add_row("examples", f"{header.count:,} of shape {'x'.join(map(str, header.shape))}")
    rows.add_row("levels", f"{header.levels:,}")
    rows.add_row("coder", codec.CODERS[header.coder])
    rows.add_row("model", header.model.hex())
    rows.add_row("chain", f"{len(plan.places)} of {plan.base} steps")
    rows.add_row("widths", f"by context, {len(plan.codes[0])} knots" if plan.codes else "the model's own")
    rows.add_row("chunks", f"{len(header.chunks)}")
    for name in ("data", "start", "calls", "header", "total"):
        bits = getattr(account, name)
        rows.add_row(f"{name}, bytes", f"{bits / 8:,.0f}")
    rows.add_row("bits per dimension", f"{account.share(account.total):.4f}")
    show(rows)
