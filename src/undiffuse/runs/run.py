"""A trained run: a `Diffusion` that knows its folder, its recipe and how long it was trained.

run/  recipe.yaml  run.json  metrics.jsonl  curves.png
      checkpoints/step-N/  samples/step-N.png  figures/step-N/
      plan-METHOD.json  pinned/step-N/        once files are compressed: their chains, and what reads them
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from undiffuse.data import Space
from undiffuse.diffusion import Diffusion
from undiffuse.diffusion.containers import alike
from undiffuse.model import ReverseProcess
from undiffuse.recipes.recipe import Recipe
from undiffuse.runs import scoring


class Run(Diffusion):
    """A model in its folder.

    `kept` is the step that the weights are of, where they are the best seen rather than the last.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        model: ReverseProcess,
        space: Space,
        shape: tuple[int, ...],
        *,
        step: int = 0,
        **how: Any,
    ) -> None:
        self._bind(
            model,
            space,
            shape,
            recipe.grid(model.kernel),
            sampler=recipe["sampler"].build(),
            terms=recipe["evaluate_terms"],
            noise=recipe.noise,
            step=step,
            overlapping=recipe["data"] is not None and recipe["data"].make.overlapping,
            **how,
        )
        self.folder, self.recipe = folder, recipe
        self.kept: int | None = None
        self.keeper: object = None  # what removes a folder that nobody asked for

    @alike("raw")
    def score(self, raw: Tensor, seed: int = 0) -> scoring.Scores:
        """Bits per dimension of each example, their standard error, and the percentile among held-out data.

        Raises ValueError as `bits` does.
        """
        return scoring.score(self, raw, seed)
