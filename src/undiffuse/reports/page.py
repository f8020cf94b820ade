"""One page of pictures and numbers, to be opened in a browser: plain HTML beside the files it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from undiffuse.files import write_text

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#24292f}"
    "img{max-width:100%;image-rendering:pixelated;border:1px solid #d0d7de}"
    "td,th{padding:.2em .8em;text-align:left}td+td{text-align:right}pre{background:#f6f8fa;padding:.5em}"
)


@dataclass(frozen=True)
class Section:
    """A heading, what there is to say, numbers by name, a picture in the page's folder, commands to try."""

    title: str
    text: str = ""
    numbers: Sequence[tuple[str, str]] = ()
    picture: str | None = None
    commands: Sequence[str] = ()


def save_page(title: str, sections: Sequence[Section], folder: Path) -> Path:
    """Write index.html into the folder; returns it."""
    body = "".join(_html(section) for section in sections)
    path = folder / "index.html"
    head = (
        f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    )
    write_text(
        path, f"<!doctype html><html lang=en>{head}<style>{STYLE}</style><h1>{escape(title)}</h1>{body}\n"
    )
    return path


def _html(section: Section) -> str:
    rows = "".join(f"<tr><td>{escape(name)}<td>{escape(value)}" for name, value in section.numbers)
    found = f"<h2>{escape(section.title)}</h2>"
    found += f"<p>{escape(section.text)}</p>" if section.text else ""
    found += f"<table>{rows}</table>" if rows else ""
    if section.picture is not None:
        found += (
            f"<p><img src='{escape(section.picture, quote=True)}' alt='{escape(section.title, quote=True)}'>"
        )
    found += f"<pre>{escape(chr(10).join(section.commands))}</pre>" if section.commands else ""
    return found
