"""Recipes: YAML that ships with the package, and what builds, trains, loads and evaluates a run of one."""

from undiffuse.recipes.entropy import entropy_stretches, save_entropies
from undiffuse.recipes.evaluation import Evaluation, evaluate, plan_calls, save_evaluation, unmet
from undiffuse.recipes.experiment import Experiment
from undiffuse.recipes.facts import read_facts
from undiffuse.recipes.figures import save_schedule, save_slices
from undiffuse.recipes.log import Event, read_metrics
from undiffuse.recipes.output import has_picture, save_animation, save_npy, save_picture
from undiffuse.recipes.parts import RecipeError, parse
from undiffuse.recipes.parzen import parzen_of, plan_ticks, protocol, save_parzen
from undiffuse.recipes.reading import override, read, shipped
from undiffuse.recipes.recipe import Plan, load_data
from undiffuse.recipes.reproduce import (
    PaperRow,
    Reproduced,
    budgeted,
    chosen,
    finish,
    measuring,
    save_reproduced,
)
from undiffuse.recipes.run import Run, check_range, load

__all__ = [
    "Evaluation",
    "Event",
    "Experiment",
    "PaperRow",
    "Plan",
    "RecipeError",
    "Reproduced",
    "Run",
    "budgeted",
    "check_range",
    "chosen",
    "entropy_stretches",
    "evaluate",
    "finish",
    "has_picture",
    "load",
    "load_data",
    "measuring",
    "override",
    "parse",
    "parzen_of",
    "plan_calls",
    "plan_ticks",
    "protocol",
    "read",
    "read_facts",
    "read_metrics",
    "save_animation",
    "save_entropies",
    "save_evaluation",
    "save_npy",
    "save_parzen",
    "save_picture",
    "save_reproduced",
    "save_schedule",
    "save_slices",
    "shipped",
    "unmet",
]
