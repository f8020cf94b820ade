"""Recipes: YAML that ships with the package, and what builds, trains, loads and evaluates a run of one."""

from undiffuse.recipes.evaluation import Evaluation, evaluate, plan_calls, save_evaluation
from undiffuse.recipes.experiment import Experiment, create
from undiffuse.recipes.figures import save_schedule, save_slices
from undiffuse.recipes.log import Event, read_metrics
from undiffuse.recipes.output import has_picture, save_animation, save_npy, save_picture
from undiffuse.recipes.parts import RecipeError, parse
from undiffuse.recipes.reading import override, read, shipped
from undiffuse.recipes.recipe import Plan, load_data
from undiffuse.recipes.run import Run, check_range, load, read_facts

__all__ = [
    "Evaluation",
    "Event",
    "Experiment",
    "Plan",
    "RecipeError",
    "Run",
    "check_range",
    "create",
    "evaluate",
    "has_picture",
    "load",
    "load_data",
    "override",
    "parse",
    "plan_calls",
    "read",
    "read_facts",
    "read_metrics",
    "save_animation",
    "save_evaluation",
    "save_npy",
    "save_picture",
    "save_schedule",
    "save_slices",
    "shipped",
]
