"""How probable each of some examples is, beside examples that were held out.

An example's bits are an average of `LOOKS` unbiased estimates with noise of their own, whose scatter is
the standard error. The background, which knows only how simple an example is, is the PNG file of a picture;
else independent columns, or positions.
"""

import io
import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from undiffuse.diffusion import Diffusion
from undiffuse.diffusion.output import to_bytes
from undiffuse.random import Streams, digest
from undiffuse.recipes import load_data
from undiffuse.runs.noted import note, noted
from undiffuse.runs.scores import Held, Scores, check_alarm
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.runs.run import Run

LOG = logging.getLogger(__name__)
LOOKS = 4  # estimates of each example
HELD = 1000  # held-out examples that are compared with, at most
FILE, ALARM = "held-out.json", "alarm.json"
LIKE = {"terms": 0, "bits": [0.0], "above": [0.0]}
PNG, INDEPENDENT = "PNG", ("columns", "independent")  # backgrounds


def score(run: "Run", raw: Tensor, seed: int = 0, *, track: Track = SILENT) -> Scores:
    """The scores of raw examples (N, *shape). Raises ValueError as `bits` does."""
    bits, se = estimates(run, raw, seed, track=track)
    return Scores(bits, se, above(run, raw, bits), held_out(run, track=track), background_of(run))


def estimates(run: Diffusion, raw: Tensor, seed: int, *, track: Track = SILENT) -> tuple[Tensor, Tensor]:
    """Bits per dimension of each example and their standard error, (N,)."""
    terms = None if run.terms is None else max(1, run.terms // LOOKS)
    looks = [
        run.bits(run.with_noise(raw, look), digest(seed, "score", look) % 2**62, terms=terms, track=part)
        for look, part in track.over(range(LOOKS))
    ]
    found = torch.stack(looks).double()
    return found.mean(0), found.std(0) / LOOKS**0.5


def background_of(run: Diffusion) -> str | None:
    """What says how simple examples are; None if nothing does."""
    if len(run.shape) == 3 and run.levels is not None and run.levels <= 256 and run.shape[0] in (1, 3):
        return PNG
    return next((name for name in INDEPENDENT if name in run.simple.names), None)


def above(run: Diffusion, raw: Tensor, bits: Tensor) -> Tensor:
    """By how many bits per dimension these are above the background's, (N,); NaN without one."""
    name = background_of(run)
    if name is None:
        return torch.full_like(bits, math.nan)
    if name == PNG:
        return bits - _png(run, raw) / dims(run.shape)
    x_0 = run.space.encode(raw)
    nats = run.simple(x_0, Streams("background", rows=range(len(raw))))[:, run.simple.names.index(name)]
    return bits - (nats / (dims(run.shape) * math.log(2)) - run.shift)


def _png(run: Diffusion, raw: Tensor) -> Tensor:
    """Bits of a picture's file, (N,)."""
    found = []
    for picture in to_bytes(run, raw).movedim(1, -1).numpy():
        file = io.BytesIO()
        Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(file, PNG)
        found.append(8 * file.tell())
    return torch.tensor(found, dtype=torch.float64)


def held_out(run: "Run", *, track: Track = SILENT) -> Held:
    """The same of examples that the run was not trained on; found once for its weights.

    None of them where the run's data are not at hand.
    """
    terms = run.terms or 0
    found = noted(run, FILE, LIKE)
    if found is not None and found["terms"] == terms:
        LOG.info("held-out examples: their bits are those in %s", run.folder / FILE)
        return Held(*(torch.tensor(found[name], dtype=torch.float64) for name in Held._fields))
    try:
        splits = load_data(run.recipe)
    except (OSError, ValueError, ImportError) as error:
        LOG.warning("no percentiles, as the run's data are not at hand: %s", error)
        return Held(*torch.zeros(2, 0, dtype=torch.float64))
    raw, given = splits.examples("test", slice(HELD))
    told = run.told(given)
    bits, _ = estimates(told, raw, 0, track=track.stage("held-out examples, once"))
    held = Held(bits, above(told, raw, bits)[: len(bits) if background_of(run) else 0])
    note(run, FILE, {"terms": terms, **{name: each.tolist() for name, each in held._asdict().items()}})
    return held


def set_alarm(run: "Run", rate: float, by: str, *, track: Track = SILENT) -> None:
    """Keep with the run at which rate of false alarms one is raised, and by what.

    Raises ValueError as `Scores.alarm` does.
    """
    check_alarm(rate, by, len(held_out(run, track=track).bits), background_of(run))
    note(run, ALARM, {"rate": rate, "by": by})


def alarm_of(run: "Run") -> Mapping[str, Any] | None:
    """`rate` and `by` of the alarm that was set for these weights, if there is one."""
    found = noted(run, ALARM, {"rate": 0.0, "by": ""})
    return None if found is None else {"rate": found["rate"], "by": found["by"]}
