"""undiffuse info."""

import typer

from undiffuse.cli.console import printable, show, table
from undiffuse.cli.options import RunFolder

EXAMPLES = """
[bold]Example[/bold]

undiffuse info runs/first
"""


def command(run: RunFolder) -> None:
    """What a run is: its data, model, training and full recipe."""
    import yaml

    from undiffuse.runs import load, read_facts

    trained = load(run)
    facts = read_facts(trained.folder)
    size = sum(p.numel() for p in trained.model.parameters())
    rows = table("", "")
    rows.add_row("folder", printable(str(trained.folder)))
    rows.add_row("data", f"{facts['examples']['train']:,} train, {facts['examples']['test']:,} test")
    rows.add_row("example", f"{'x'.join(map(str, trained.shape))}, {_levels(trained.levels)}")
    rows.add_row("parameters", f"{size:,}")
    best = f", its best after {trained.kept:,}" if trained.kept not in (None, trained.step) else ""
    rows.add_row("trained", f"{trained.step:,} steps{best}")
    rows.add_row("chain", f"{len(trained.grid):,} steps")
    show(rows)
    typer.echo(printable_lines(yaml.safe_dump(trained.recipe.describe(), sort_keys=False)))


def printable_lines(text: str) -> str:
    """Line by line without control characters."""
    return "\n".join(printable(line) for line in text.splitlines())


def _levels(levels: int | None) -> str:
    return "continuous" if levels is None else f"{levels} levels"
