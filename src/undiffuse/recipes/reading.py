"""Recipe files: safe YAML of at most 64 kB, and `dotted.key=value` changes to it."""

import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from undiffuse.files import read_bytes
from undiffuse.jsonfile import deeper
from undiffuse.recipes.parts import RecipeError, nearest

LARGEST = 64 * 1024
DEEPEST = 8  # mappings and lists in one another
DEFAULTS: dict[str, Any] = {
    "kernel": {"kind": "gaussian", "schedule": {"kind": "cosine"}},
    "grid": {"kind": "uniform"},
    "objective": {"kind": "simple"},
    "sampler": {"kind": "ancestral"},
    "train": {},
}


def shipped() -> list[str]:
    """Names of the recipes that come with the package."""
    files = resources.files("undiffuse.recipes").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml"))


def read(name: str) -> dict[str, Any]:
    """The recipe of this shipped name, or in this YAML file."""
    if name in shipped():
        return _read_text(resources.files("undiffuse.recipes").joinpath(f"{name}.yaml").read_bytes(), name)
    if Path(name).suffix in (".yaml", ".yml"):
        return _read_text(_read_file(Path(name)), name)
    raise RecipeError(f"{name}: {nearest(name, shipped())}; or give a .yaml file, or the path of data")


def _read_file(path: Path) -> bytes:
    try:
        return read_bytes(path, LARGEST)
    except ValueError as error:
        raise RecipeError(str(error)) from error


def override(node: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """A copy of the recipe with `dotted.key=value` assignments, whatever their order.

    A new `kind` drops the old one's keys, so kinds are assigned before the keys, and outer ones before inner.
    """
    node = DEFAULTS | node
    for assignment in sorted(assignments, key=_turn):
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise RecipeError(f"{assignment!r}: overrides look like train.steps=500")
        node = _assign(node, path.split("."), _read_value(text, assignment), path)
    return node


def words_of(text: str, what: str) -> dict[str, Any]:
    """A part named on the command line, such as "langevin snr=0.1", as the node that a recipe would have."""
    kind, *assignments = text.split()
    node: dict[str, Any] = {"kind": kind}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise RecipeError(f"{what}={text!r}: arguments of {kind} look like key=value")
        node[key] = _read_value(value, assignment)
    return node


def _turn(assignment: str) -> tuple[bool, int]:
    keys = assignment.partition("=")[0].split(".")
    return keys[-1] != "kind", len(keys) if keys[-1] == "kind" else 0


def _assign(node: dict[str, Any], keys: list[str], value: Any, path: str) -> dict[str, Any]:
    head, *rest = keys
    if not rest:
        renamed = head == "kind" and node.get("kind", value) != value
        return {"kind": value} if renamed else node | {head: value}
    inner = node.get(head, {})
    inner = {"kind": inner} if isinstance(inner, str) else inner or {}
    if not isinstance(inner, dict):
        raise RecipeError(f"{path}: {head} is a plain value, it has no keys")
    return node | {head: _assign(inner, rest, value, path)}


class _Loader(yaml.SafeLoader):
    """Plain data only: no tags, no anchors or aliases, no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise yaml.YAMLError("anchors, aliases and tags are not used in recipes")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"the key {twice!r} stands twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(  # YAML 1.1 takes 1e-3 and 1e4 for text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _read_text(text: bytes, name: str) -> dict[str, Any]:
    try:
        node = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{name}: not a recipe: {' '.join(str(error).split())}") from error
    if deeper(node, DEEPEST):
        raise RecipeError(f"{name}: not a recipe: more than {DEEPEST} levels of keys and lists")
    if not isinstance(node, dict):
        raise RecipeError(f"{name}: a recipe is keys and values, such as `data: digits`")
    return node


def _read_value(text: str, assignment: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{assignment!r}: the value is not readable as YAML") from error
