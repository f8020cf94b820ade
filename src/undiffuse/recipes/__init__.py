"""Recipes: YAML that ships with the package, and what builds, trains, loads and evaluates a run of one."""

from undiffuse.recipes.checks import check_range
from undiffuse.recipes.distances import Comparison, contest, distances_of, save_distances
from undiffuse.recipes.doctor import Diagnosis, examine, plan_examination
from undiffuse.recipes.entropy import entropy_stretches, save_entropies
from undiffuse.recipes.evaluation import (
    Evaluation,
    drawn_of,
    evaluate,
    note_of,
    part_of,
    plan_calls,
    save_evaluation,
    unmet,
)
from undiffuse.recipes.example import pick_example, read_example, read_seen
from undiffuse.recipes.exchange import FORMATS, Imported, export_run, import_run
from undiffuse.recipes.experiment import Experiment
from undiffuse.recipes.facts import hash_of, read_facts
from undiffuse.recipes.figures import save_schedule, save_slices
from undiffuse.recipes.holes import read_mask, read_table
from undiffuse.recipes.jobs import LARGE, draw_shards, resumed
from undiffuse.recipes.loading import load
from undiffuse.recipes.log import Event, read_metrics
from undiffuse.recipes.observed import (
    Posterior,
    check_seen,
    impute,
    known,
    measured,
    noisy,
    operator_for,
    posterior,
    raw_width,
)
from undiffuse.recipes.optimal import (
    Compared,
    check_variance,
    compare_variance,
    fit_variance,
    plan_variance,
    save_variance,
    variance_name,
)
from undiffuse.recipes.output import (
    has_picture,
    save_animation,
    save_npy,
    save_picture,
    save_rows,
    stage_name,
    stage_times,
)
from undiffuse.recipes.parts import RecipeError, parse
from undiffuse.recipes.parzen import parzen_of, plan_ticks, protocol, save_parzen
from undiffuse.recipes.pinned import maker, pin
from undiffuse.recipes.planned import Chosen, Planner, ways
from undiffuse.recipes.posterior import METHODS, Way, count_draws
from undiffuse.recipes.progressive import (
    measure_of,
    plan_progressive,
    progressive_of,
    progressive_rows,
    save_progressive,
)
from undiffuse.recipes.reading import override, read, shipped
from undiffuse.recipes.recipe import Plan, load_data
from undiffuse.recipes.replay import Replayed, replay
from undiffuse.recipes.reproduce import (
    PaperRow,
    Reproduced,
    budgeted,
    chosen,
    finish,
    measuring,
    save_reproduced,
)
from undiffuse.recipes.run import Run
from undiffuse.recipes.sheet import save_posterior, save_sheet

__all__ = [
    "FORMATS",
    "LARGE",
    "METHODS",
    "Chosen",
    "Compared",
    "Comparison",
    "Diagnosis",
    "Evaluation",
    "Event",
    "Experiment",
    "Imported",
    "PaperRow",
    "Plan",
    "Planner",
    "Posterior",
    "RecipeError",
    "Replayed",
    "Reproduced",
    "Run",
    "Way",
    "budgeted",
    "check_range",
    "check_seen",
    "check_variance",
    "chosen",
    "compare_variance",
    "contest",
    "count_draws",
    "distances_of",
    "draw_shards",
    "drawn_of",
    "entropy_stretches",
    "evaluate",
    "examine",
    "export_run",
    "finish",
    "fit_variance",
    "has_picture",
    "hash_of",
    "import_run",
    "impute",
    "known",
    "load",
    "load_data",
    "maker",
    "measure_of",
    "measured",
    "measuring",
    "noisy",
    "note_of",
    "operator_for",
    "override",
    "parse",
    "part_of",
    "parzen_of",
    "pick_example",
    "pin",
    "plan_calls",
    "plan_examination",
    "plan_progressive",
    "plan_ticks",
    "plan_variance",
    "posterior",
    "progressive_of",
    "progressive_rows",
    "protocol",
    "raw_width",
    "read",
    "read_example",
    "read_facts",
    "read_mask",
    "read_metrics",
    "read_seen",
    "read_table",
    "replay",
    "resumed",
    "save_animation",
    "save_distances",
    "save_entropies",
    "save_evaluation",
    "save_npy",
    "save_parzen",
    "save_picture",
    "save_posterior",
    "save_progressive",
    "save_reproduced",
    "save_rows",
    "save_schedule",
    "save_sheet",
    "save_slices",
    "save_variance",
    "shipped",
    "stage_name",
    "stage_times",
    "unmet",
    "variance_name",
    "ways",
]
