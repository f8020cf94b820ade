"""Many samples as shards of a folder: each appears complete, a rerun draws the missing ones, a manifest ends
it.

    samples/seed0-from0-n50000/  job.json  shard-00000.npy  shard-00001.npy ..  MANIFEST.json

Sample i of a seed is the same whatever it is drawn with, so the shards are too. Of several processes, each
draws and writes shards of its own.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor

from undiffuse import tensorfile
from undiffuse.bounds import Partial
from undiffuse.data import read_npy
from undiffuse.diffusion.output import save_npy
from undiffuse.enclosure import LinkError
from undiffuse.files import atomic, discard, is_read_only, reading, sweep, write_json
from undiffuse.jsonfile import read_json
from undiffuse.processes import ALONE
from undiffuse.random import digest
from undiffuse.track import SILENT, Track

if TYPE_CHECKING:
    from undiffuse.runs.run import Run

SHARD = 1024  # samples
LARGE = 4 * SHARD  # more than these are drawn in shards
MANIFEST = "MANIFEST.json"
LARGEST = 2**26  # bytes of it: a hundred a shard
PAUSE = 10.0  # seconds between two writings of a partial result
PARTIAL = {"count", *(f"{name}.{each}" for name in ("scalars", "steps") for each in ("mean", "squares"))}


def draw_shards(
    run: "Run",
    n: int,
    seed: int,
    folder: Path,
    words: list[str],
    *,
    track: Track = SILENT,
    **how: Any,
) -> list[Path]:
    """Draw samples `first` .. `first + n - 1` into shards; those that are there already are kept.

    `words` say what is drawn, Raises ValueError if the folder holds samples of something else.
    """
    processes, own, first = run.processes, run.in_tensors.replace(processes=ALONE), how.pop("first", 0)
    job = {"words": words, "weights": weights_of(run), "step": run.step}
    paths = [folder / f"shard-{i:05d}.npy" for i in range(-(-n // SHARD))]
    counts = [min(SHARD, n - begin) for begin in range(0, n, SHARD)]
    missing = processes.lead(lambda: _missing(folder, job, paths, counts, run.shape))
    left = track.part(len(paths) - len(missing), len(paths), len(paths))
    for number, part in left.over(missing[processes.rank :: processes.size]):
        raw = own.sample(counts[number], seed, first=first + number * SHARD, track=part, **how)
        save_npy(raw, paths[number])
    processes.meet()
    facts = {"samples": n, "first": first, "seed": seed}
    processes.lead(lambda: _finish(folder, facts, paths))
    return [*paths, folder / MANIFEST]


def _missing(
    folder: Path, job: dict[str, Any], paths: list[Path], counts: list[int], shape: tuple[int, ...]
) -> list[int]:
    """Which shards are to be drawn, once the folder is known to be this job's."""
    sweep(folder)
    _check_same(folder, job)
    known = _hashes(folder)
    return [
        number
        for number, (path, count) in enumerate(zip(paths, counts, strict=True))
        if not _whole(path, (count, *shape), known.get(path.name))
    ]


def _finish(folder: Path, facts: dict[str, Any], paths: list[Path]) -> None:
    write_json(folder / MANIFEST, facts | {"sha256": {path.name: _sha256(path) for path in paths}})


@contextmanager
def resumed(run: "Run", *key: str | int) -> Iterator[dict[str, Any]]:
    """`partial` and `kept` for `Run.evaluate`: what an earlier call of this key, cut off, had gathered.

    Its file, partial-*.safetensors in the run's folder, goes when the result is there. Of a run that may only
    be read, nothing is kept.
    """
    path = run.folder / f"partial-{digest(weights_of(run), *key):032x}.safetensors"
    last = time.monotonic()

    def kept(partial: Partial) -> None:
        nonlocal last
        if run.processes.leads and time.monotonic() - last >= PAUSE:
            with allowed():
                _store(path, partial)
            last = time.monotonic()

    stored = run.processes.lead(lambda: _found(run.folder, path))
    yield {"partial": None if stored is None else _partial(stored), "kept": kept}
    if run.processes.leads:
        with allowed():
            discard(path)


@contextmanager
def allowed() -> Iterator[None]:
    """Inside, what cannot be written to a folder that may only be read is left out."""
    try:
        yield
    except OSError as error:
        if not is_read_only(error):
            raise


def _found(folder: Path, path: Path) -> dict[str, Any] | None:
    """What is stored; leftovers of evaluations that were killed go."""
    sweep(folder)
    return _stored(path)


def _store(path: Path, partial: Partial) -> None:
    named = {"scalars": partial.scalars, "steps": partial.steps}
    tensors = {"count": torch.tensor(partial.done)}
    for name, moments in named.items():
        tensors |= {f"{name}.mean": moments.mean, f"{name}.squares": moments.squares}
    with atomic(path) as file:
        file.write(save({**tensors, "sum": _checksum(tensors)}))


def _stored(path: Path) -> dict[str, Any] | None:
    """The numbers in the file; None if there is none, or it is damaged."""
    try:
        tensors = tensorfile.read(path)
        whole = torch.equal(tensors.pop("sum"), _checksum(tensors)) and set(tensors) == PARTIAL
        return {name: t.tolist() for name, t in tensors.items()} if whole else None
    except LinkError:
        raise
    except (OSError, ValueError, KeyError):
        return None


def _partial(stored: dict[str, Any]) -> Partial:
    partial = Partial()
    for name, moments in (("scalars", partial.scalars), ("steps", partial.steps)):
        moments.count = stored["count"]
        moments.mean, moments.squares = (
            torch.tensor(stored[f"{name}.{each}"], dtype=torch.float64) for each in ("mean", "squares")
        )
    return partial


def _checksum(tensors: dict[str, Tensor]) -> Tensor:
    values = b"".join(tensors[name].contiguous().numpy().tobytes() for name in sorted(tensors))
    return torch.frombuffer(bytearray(hashlib.sha256(values).digest()), dtype=torch.uint8)


def weights_of(run: "Run") -> str:
    """A name of the run's weights: 32 hex digits of their bytes."""
    values = hashlib.sha256()
    for name, weight in run.model.named_parameters():
        values.update(name.encode() + weight.detach().cpu().contiguous().numpy().tobytes())
    return f"{digest(values.hexdigest()):032x}"


def _check_same(folder: Path, job: dict[str, Any]) -> None:
    """Write job.json, or raise ValueError if it names another job."""
    file = folder / "job.json"
    try:
        found = read_json(file, {})
    except FileNotFoundError:
        write_json(file, job)
        return
    except LinkError:
        raise
    except ValueError as error:
        raise ValueError(f"{error}; remove the folder to draw its samples again") from error
    if found != job:
        raise ValueError(
            f"{folder}: holds samples of other weights (step {found.get('step')}, now {job['step']}); "
            f"remove the "
            "folder to draw them again"
        )


def _hashes(folder: Path) -> dict[str, str]:
    """The shards' hashes, if the job was once complete."""
    try:
        return dict(read_json(folder / MANIFEST, {"sha256": {}}, LARGEST)["sha256"])
    except LinkError:
        raise
    except (OSError, ValueError):
        return {}


def _whole(path: Path, shape: tuple[int, ...], sha256: str | None) -> bool:
    """Whether the shard is there, of this shape, and as it was written."""
    try:
        return read_npy(path).shape == shape and sha256 in (None, _sha256(path))
    except LinkError:
        raise
    except (OSError, ValueError):
        return False


def _sha256(path: Path) -> str:
    with reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
