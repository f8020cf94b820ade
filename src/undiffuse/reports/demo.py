"""What `undiffuse demo` shows of its run, on a page: samples, bits, holes filled, a file."""

from pathlib import Path
from typing import Any

from torch import Tensor

from undiffuse import plots
from undiffuse.diffusion import coded, evaluate, save_sheet
from undiffuse.diffusion.evaluation import NAMED
from undiffuse.diffusion.output import to_images
from undiffuse.diffusion.posterior import Way
from undiffuse.recipes.recipe import load_data
from undiffuse.reports.page import Section
from undiffuse.reports.weighing import others
from undiffuse.runs.holes import read_mask
from undiffuse.runs.run import Run
from undiffuse.track import SILENT, Track

SAMPLES, STEPS = 64, 30  # of the chain
HOLES, DRAWS = 6, 16  # digits that are completed, and completions of each
PACKED, CODED = 30, 8  # digits that are compressed, and in how many steps
TEXT = {
    "samples": f"Drawn in {STEPS} steps of the chain. Sample i of a seed is always the same.",
    "bits": "How many bits these digits take, -log2 of their probability: an upper bound and its error.",
    "holes": f"What is known, the truth, mean and standard deviation of {DRAWS} completions, some of them.",
    "file": "The same bits as a file, lossless, and what general codecs make of it.",
}


def save_samples(run: Run, path: Path) -> Path:
    """Samples as one picture."""
    plots.save_grid(to_images(run, run.sample(SAMPLES, steps=STEPS)), path)
    return path


def show(run: Run, folder: Path, track: Track = SILENT) -> list[Section]:
    """Bits of test digits, holes filled, digits compressed: or what to install for that."""
    test: Tensor = load_data(run.recipe).test[:]
    sections = [_bits(run, test, track), _holes(run, test[:HOLES], folder, track)]
    try:
        return [*sections, _file(run, test[:PACKED], track)]
    except ImportError as error:  # the entropy coder is an extra
        return [*sections, Section("Compressed", str(error))]


def _bits(run: Run, test: Tensor, track: Track) -> Section:
    found = evaluate(run, test, terms=run.terms, track=track.stage(f"bits of {len(test)} digits"))
    numbers = [("this model", f"{found.bits} bits/dim")]
    numbers += [(NAMED[name], f"{bits} bits/dim") for name, (bits, _) in found.beside.items()]
    return Section("Bits", TEXT["bits"], numbers)


def _holes(run: Run, raw: Tensor, folder: Path, track: Track) -> Section:
    mask = read_mask(run, "bottom").expand(raw.shape)
    filled: Any = run.impute(raw, mask, n=DRAWS, way=Way(steps=STEPS), track=track.stage("fill holes"))
    seen = raw.double().masked_fill(~mask, float("nan"))
    save_sheet(run, filled, seen, raw, folder / "holes.png")
    return Section("Half of each digit, filled in", TEXT["holes"], picture="holes.png")


def _file(run: Run, raw: Tensor, track: Track) -> Section:
    data = coded.compress(run, raw, steps=CODED, verify=False, track=track)
    sizes = {f"{len(raw)} digits by this model": len(data), **others(run, raw)}
    return Section("Compressed", TEXT["file"], [(name, f"{size:,} bytes") for name, size in sizes.items()])
