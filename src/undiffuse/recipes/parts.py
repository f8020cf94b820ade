"""From a recipe's nodes to parts: a part's constructor is its schema.

A node such as `{kind: cosine, steps: 500}` is looked up by name in the group that the constructor's type hint
asks for, and its keys are checked against that class's own signature; nested parts likewise. Nothing in a
file can name code: only what stands in `GROUPS` can be built.
"""

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from undiffuse.data import CONDITIONS, SOURCES, ConditionSource, Source
from undiffuse.kernels import KERNELS, Kernel
from undiffuse.networks import ATTENTIONS, BLOCKS, NETWORKS, Attend, Block
from undiffuse.objectives import OBJECTIVES, TIMES, WEIGHTS, Objective, Times, Weight
from undiffuse.parameterizations import (
    DECODERS,
    PARAMETERIZATIONS,
    VARIANCES,
    Decoder,
    Parameterization,
    Variance,
)
from undiffuse.samplers import SAMPLERS, Sampler
from undiffuse.schedules import GRIDS, SCHEDULES, Schedule, grids

GROUPS: dict[Any, Mapping[str, Callable[..., Any]]] = {
    Source: SOURCES,
    ConditionSource: CONDITIONS,
    Schedule: SCHEDULES,
    grids.Grid: GRIDS,
    Kernel: KERNELS,
    Parameterization: PARAMETERIZATIONS,
    Variance: VARIANCES,
    Decoder: DECODERS,
    nn.Module: NETWORKS,
    Block: BLOCKS,
    Attend: ATTENTIONS,
    Objective: OBJECTIVES,
    Times: TIMES,
    Weight: WEIGHTS,
    Sampler: SAMPLERS,
}
CONTEXT: dict[Any, tuple[str, ...]] = {  # arguments that the data and other parts give, which are no keys
    nn.Module: ("shape", "outputs", "steps", "examples", "conditions", "columns"),
    Parameterization: ("steps", "base"),
    Variance: ("base",),
    Decoder: ("levels",),
    Objective: ("grid",),
    grids.Grid: ("schedule",),
}
STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # no keys


class RecipeError(ValueError):
    """A recipe that cannot be built; the message has the dotted path, the value and the remedy."""


@dataclass(frozen=True)
class Part:
    """A checked node: what to call, with which arguments; `kind` is its name in its group."""

    make: Callable[..., Any]
    kind: str | None
    arguments: dict[str, Any]
    path: str

    def build(self, **context: Any) -> Any:
        """Call it, nested parts first; `context` fills arguments that the recipe leaves open."""
        known = inspect.signature(self.make).parameters
        given = {k: v for k, v in context.items() if k in known and k not in self.arguments}
        built = {k: v.build(**context) if isinstance(v, Part) else v for k, v in self.arguments.items()}
        try:
            return self.make(**given, **built)
        except (ValueError, TypeError) as error:
            own = str(error).startswith(f"{self.path}.")
            raise RecipeError(str(error) if own else f"{self.path}: {error}") from error

    def describe(self) -> dict[str, Any]:
        """The node with every default written out."""
        head = {} if self.kind is None else {"kind": self.kind}
        return head | {k: _plain(v) for k, v in self.arguments.items()}


def parse(hint: Any, node: Any, path: str) -> Any:
    """The checked value of a node: a `Part`, or a plain value of the hinted type. Raises RecipeError."""
    hints = [h for h in _alternatives(hint) if h is not Tensor]
    if node is None and type(None) in hints:
        return None
    hints = [h for h in hints if h is not type(None)]
    for h in hints:
        if h in GROUPS:
            return _parse_kind(h, node, path)
        if typing.get_origin(h) is dict and typing.get_args(h)[1] in GROUPS:
            return _parse_named(typing.get_args(h)[1], node, path)
        if isinstance(h, type) and is_dataclass(h):
            example = f"{path}.{next(iter(inspect.signature(h).parameters))}=VALUE"
            return _parse_arguments(h, None, (), _mapping(node, path, example), path)
    return _parse_value(hints, node, path)


def _parse_kind(hint: Any, node: Any, path: str) -> Part:
    group = GROUPS[hint]
    node = {"kind": node} if isinstance(node, str) else dict(_mapping(node, path, f"{path}.kind=NAME"))
    if "kind" not in node:
        raise RecipeError(f"{path}: needs a kind, one of {', '.join(group)}")
    kind = node.pop("kind")
    if not isinstance(kind, str) or kind not in group:
        raise RecipeError(f"{path}.kind={kind!r}: {nearest(str(kind), list(group))}")
    return _parse_arguments(group[kind], kind, CONTEXT.get(hint, ()), node, path)


def _parse_named(hint: Any, node: Any, path: str) -> dict[str, Part]:
    """Parts by name; one that comes alone, without a name, has that of its kind."""
    alone = node if isinstance(node, str) else node.get("kind") if isinstance(node, Mapping) else None
    if isinstance(alone, str):
        return {alone: _parse_kind(hint, node, path)}
    named = _mapping(node, path, f"{path}=NAME")
    return {str(name): _parse_kind(hint, each, f"{path}.{name}") for name, each in named.items()}


def _parse_arguments(
    make: Callable[..., Any],
    kind: str | None,
    given: tuple[str, ...],
    node: Mapping[str, Any],
    path: str,
) -> Part:
    hints = typing.get_type_hints(make.__init__ if isinstance(make, type) else make)  # type: ignore[misc]
    signature = inspect.signature(make).parameters
    parameters = {name: p for name, p in signature.items() if name not in given and p.kind not in STARRED}
    prefix = f"{path}." if path else ""
    for key in node:
        if key not in parameters:
            raise RecipeError(f"{prefix}{key}={node[key]!r}: {nearest(str(key), list(parameters))}")
    arguments = {}
    for name, parameter in parameters.items():
        if name in node:
            arguments[name] = parse(hints[name], node[name], f"{prefix}{name}")
        elif parameter.default is inspect.Parameter.empty:
            raise RecipeError(f"{prefix}{name}: this key is needed, such as {prefix}{name}=VALUE")
        else:
            arguments[name] = parameter.default
    return Part(make, kind, arguments, path)


def _parse_value(hints: list[Any], node: Any, path: str) -> Any:
    names = " or ".join(_name(h) for h in hints)
    if isinstance(node, bool) and bool not in hints:  # pydantic would take it for 0 or 1
        raise RecipeError(f"{path}={node!r}: expected {names}")
    try:
        union: Any = typing.Union[tuple(hints)]  # noqa: UP007
        value = TypeAdapter(union).validate_python(node)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise RecipeError(f"{path}={node!r}: expected {names} ({reason})") from error
    _check_numbers(value, path)
    return value


def _check_numbers(value: Any, path: str) -> None:
    """Raise RecipeError for a number that no checkpoint's JSON holds."""
    if isinstance(value, (list, tuple)):
        for each in value:
            _check_numbers(each, path)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise RecipeError(f"{path}: a whole number of {value.bit_length()} bits; they have at most 63")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{path}={value}: give a finite number")


def _mapping(node: Any, path: str, example: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping):
        raise RecipeError(f"{path}={node!r}: expected keys and values, such as {example}")
    return node


def _alternatives(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def nearest(name: str, known: list[str]) -> str:
    """What to say of a name that does not exist."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"no such name; did you mean {close[0]!r}? (there are: {', '.join(known)})"
    return f"no such name; there are: {', '.join(known)}"


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.describe()
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
