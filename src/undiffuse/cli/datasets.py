"""undiffuse datasets."""

from undiffuse.cli.console import show, table

EXAMPLES = """
[bold]Examples[/bold]

undiffuse datasets

undiffuse train images data.path=FOLDER data.size=64

undiffuse train images data.kind=array data.path=IMAGES.npy

undiffuse train swiss-roll data.kind=array data.path=VECTORS.npy
"""


def command() -> None:
    """The kinds of data, your own included: what each is, where it comes from, its licence."""
    from undiffuse.data import SOURCES

    rows = table("kind", "what", "source", "licence")
    for kind, source in SOURCES.items():
        rows.add_row(kind, source.about, source.source, source.licence)
    show(rows)
