"""undiffuse decompress."""

from typing import Annotated

import typer

from undiffuse.cli.console import device_of, printable, tracked
from undiffuse.cli.options import Device, GivenFiles, Label, RunFolder

EXAMPLES = """
[bold]Examples[/bold]

undiffuse decompress runs/first photos.und -o restored

undiffuse decompress runs/first photos.und -o coarse --bits 0.4

--bits is for files made with --lossy. One of those that was cut off is read as far as it goes.
"""


def command(
    run: RunFolder,
    file: Annotated[str, typer.Argument(metavar="FILE.und", help="The compressed file.")],
    out: Annotated[str, typer.Option("--out", "-o", help="New folder for what was in it.")] = "restored",
    bits: Annotated[
        float | None, typer.Option("--bits", help="Read so many bits per dimension of a progressive file.")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option("--max-values", help="Refuse files of more data values. Default: 67,108,864."),
    ] = None,
    label: Label = None,
    given: GivenFiles = None,
    device: Device = "cpu",
) -> None:
    """Decompress a .und file with the run it was made with: the same pictures, arrays or tables, bit for bit.

    If the run has been trained on since, with the checkpoint that `compress` kept.
    """
    from undiffuse import codec
    from undiffuse.runs import archive, given_from, load, maker

    codec.ready()
    target, where = archive.check_target(out), device_of(device)
    trained = load(run, where)
    with archive.naming(file):
        data = archive.read_file(file)
        header, parts = codec.unpack(data, most or codec.VALUES, bits)
        trained = maker(trained.told(given_from(trained, label, given or ())), header, where)
        codec.check_model(trained.model, header, trained.shape)
        archive.sizes_of(trained, header)  # what cannot be is refused at once
        with tracked("decompress") as track:
            raw = trained.in_tensors.decompress(data, bits=bits, values=most or codec.VALUES, track=track)
        found = archive.restore(trained, header, raw)
    if len(parts) < len(header.chunks):
        typer.echo(f"{len(parts)} of {len(header.chunks)} chunks: the best that they say", err=True)
    for path in archive.write(trained, found, target)[:10]:
        typer.echo(printable(str(path)))
    if len(found) > 10:
        typer.echo(f"and {len(found) - 10:,} more")
