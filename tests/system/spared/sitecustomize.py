"""Found by Python in every process that `several.start` starts: trainings draw no figures at their end.

They take longer than the rest of a short run, and those that `single` and `double` draw are the same.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class Finder(PathFinder):
    """Of `undiffuse.plots`, whose figures of a training are taken away once it is loaded."""

    @classmethod
    def find_spec(cls, fullname: str, path=None, target=None) -> ModuleSpec | None:
        spec = super().find_spec(fullname, path, target) if fullname == "undiffuse.plots" else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def loaded(module: ModuleType) -> None:
            load(module)
            module.save_training = module.save_schedules = module.save_columns = lambda *_: None

        spec.loader.exec_module = loaded
        return spec


sys.meta_path.insert(0, Finder)
