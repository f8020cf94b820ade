"""undiffuse info."""

from typing import Any

import typer

from undiffuse.cli.console import printable, show, table
from undiffuse.cli.options import RunFolder

EXAMPLES = """
[bold]Example[/bold]

undiffuse info runs/first
"""


def command(run: RunFolder) -> None:
    """What a run is: its data, model, training and full recipe."""
    from pathlib import Path

    import yaml

    from undiffuse.overview import read_overview

    found = read_overview(Path(run))
    rows = table("", "")
    rows.add_row("folder", printable(str(found.folder)))
    rows.add_row("data", f"{found.train:,} train, {found.test:,} test")
    rows.add_row("example", f"{'x'.join(map(str, found.shape))}, {_levels(found.levels)}")
    for name, state in found.conditions.items():
        rows.add_row("given", printable(f"{name}: {_condition(state)}"))
    rows.add_row("parameters", f"{found.parameters:,}")
    best = f", its best after {found.kept:,}" if found.kept != found.step else ""
    rows.add_row("trained", f"{found.step:,} steps{best}")
    if found.chain is not None:
        rows.add_row("chain", f"{found.chain:,} steps")
    show(rows)
    typer.echo(printable_lines(yaml.safe_dump(found.recipe, sort_keys=False)))


def printable_lines(text: str) -> str:
    """Line by line without control characters."""
    return "\n".join(printable(line) for line in text.splitlines())


def _condition(state: Any) -> str:
    """What run.json says of one."""
    known = state if isinstance(state, dict) else {}
    lists = {key: value if isinstance(value, list) else [] for key, value in known.items()}
    if known.get("kind") == "class":
        return f"one of {known.get('count')} classes {', '.join(map(str, lists.get('names', [])))}".strip()
    return f"{known.get('kind')} {'x'.join(map(str, lists.get('shape', [])))}"


def _levels(levels: int | None) -> str:
    return "continuous" if levels is None else f"{levels} levels"
