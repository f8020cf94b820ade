"""A trained run: a `Diffusion` that knows its folder, its recipe and how long it was trained.

run/  recipe.yaml  run.json  metrics.jsonl  curves.png
      checkpoints/step-N/  samples/step-N.png  figures/step-N/
      plan-METHOD.json  pinned/step-N/        once files are compressed: their chains, and what reads them
"""

import shutil
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from undiffuse.data import Space
from undiffuse.diffusion import Diffusion
from undiffuse.diffusion.containers import alike
from undiffuse.enclosure import names
from undiffuse.files import folder as new_folder
from undiffuse.files import write_text
from undiffuse.model import ReverseProcess
from undiffuse.recipes.recipe import Recipe
from undiffuse.runs import scoring
from undiffuse.runs.packing import pack
from undiffuse.runs.planned import ways
from undiffuse.runs.scores import Scores
from undiffuse.track import SILENT, Track


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

    def save(self, folder: str | Path) -> Path:
        """Copy the run into a new folder, complete or not at all: all that loading it and going on needs.

        Data that are in its folder come along. Raises FileExistsError if there is something.
        """
        target = Path(folder)
        if target.exists():
            raise FileExistsError(f"{target}: exists already; choose a new folder")
        node = self.recipe.describe()
        with new_folder(target) as temporary:
            for name in names(self.folder):
                if not name.startswith(".") and name != "recipe.yaml":
                    copy = shutil.copytree if (self.folder / name).is_dir() else shutil.copy
                    copy(self.folder / name, temporary / name)
            path = Path((node["data"] or {}).get("path") or "")
            if path.parent == self.folder.absolute():
                node["data"] |= {"path": str(target.absolute() / path.name)}
            write_text(temporary / "recipe.yaml", yaml.safe_dump(node, sort_keys=False))
        return target

    @alike("raw", whole=True)
    def compress(
        self,
        raw: Tensor,
        *,
        lossy: bool = False,
        method: str | None = None,
        steps: int | None = None,
        verify: bool = True,
        track: Track = SILENT,
    ) -> bytes:
        """As of any `Diffusion`, but the method and its steps are chosen on the run's own data, once."""
        methods = ways(self, method, lossy, steps)
        return pack(self, raw, methods, steps, verify=verify, track=track).data

    @alike("raw")
    def score(self, raw: Tensor, seed: int = 0, *, track: Track = SILENT) -> Scores:
        """Bits per dimension of each example, their standard error, and what they are beside held-out data.

        Raises ValueError as `bits` does.
        """
        return scoring.score(self, raw, seed, track=track)
