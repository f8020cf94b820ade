"""A condition of a data set: what it is, and its value for every example."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from undiffuse.conditions import Condition
from undiffuse.data.rows import Examples


@dataclass(frozen=True, eq=False)
class Values:
    """Values (N, *shape) of the examples of each part, "train", "test" and "watched", as `kind` says.

    One that is a `function` of the raw examples (B, ...) has no values: they are worked out.
    """

    kind: Condition
    parts: Mapping[str, Examples] = field(default_factory=dict)
    function: Callable[[Tensor], Tensor] | None = None

    def of(self, part: str, rows: slice | Tensor, raw: Tensor) -> Tensor:
        """Those of these rows of a part, whose examples are `raw`."""
        found = self.parts[part][rows] if self.function is None else self.function(raw)
        return found if not found.is_floating_point() else found.float()

    def divided(self, choose: Callable[[Examples, Tensor], Examples], **index: Tensor) -> "Values":
        """With parts of these names made of the rows of the training part."""
        if self.function is not None:
            return self
        train = self.parts["train"]
        return replace(self, parts={**self.parts, **{k: choose(train, rows) for k, rows in index.items()}})
