"""Runs: a recipe that is trained in a folder of its own, gone on with, loaded, and used."""

from undiffuse.runs.curving import curve_noted
from undiffuse.runs.example import pick_example, read_example, read_seen
from undiffuse.runs.exchange import FORMATS, Imported, export_run, import_run
from undiffuse.runs.experiment import Experiment
from undiffuse.runs.facts import hash_of, read_facts
from undiffuse.runs.figures import save_schedule, save_slices
from undiffuse.runs.giving import given_from, given_test, told_for
from undiffuse.runs.holes import read_mask, read_table
from undiffuse.runs.jobs import LARGE, draw_shards, resumed
from undiffuse.runs.loading import load
from undiffuse.runs.log import Event, read_metrics
from undiffuse.runs.packing import Packed, pack
from undiffuse.runs.pinned import maker, pin
from undiffuse.runs.planned import Chosen, Planner, ways
from undiffuse.runs.replay import Replayed, replay
from undiffuse.runs.run import Run
from undiffuse.runs.shipped import shipped_run

__all__ = [
    "FORMATS",
    "LARGE",
    "Chosen",
    "Event",
    "Experiment",
    "Imported",
    "Packed",
    "Planner",
    "Replayed",
    "Run",
    "curve_noted",
    "draw_shards",
    "export_run",
    "given_from",
    "given_test",
    "hash_of",
    "import_run",
    "load",
    "maker",
    "pack",
    "pick_example",
    "pin",
    "read_example",
    "read_facts",
    "read_mask",
    "read_metrics",
    "read_seen",
    "read_table",
    "replay",
    "resumed",
    "save_schedule",
    "save_slices",
    "shipped_run",
    "told_for",
    "ways",
]
