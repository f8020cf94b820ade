"""undiffuse recipes."""

from typing import Annotated

import typer

from undiffuse.cli.console import show, table

EXAMPLES = """
[bold]Examples[/bold]

undiffuse recipes

undiffuse recipes digits > mine.yaml
"""


def command(
    name: Annotated[str | None, typer.Argument(help="Print this recipe, every default written out.")] = None,
) -> None:
    """The recipes that come with the package, or one of them in full."""
    import yaml

    from undiffuse.recipes import Recipe, read, shipped

    if name is not None:
        typer.echo(yaml.safe_dump(Recipe(read(name)).describe(), sort_keys=False), nl=False)
        return
    rows = table("recipe", "what it is")
    for each in shipped():
        rows.add_row(each, str(read(each).get("about", "")))
    show(rows)
