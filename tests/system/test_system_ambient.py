"""Numbers are the same whatever autocast and default dtype are around the calls, before or after loading."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from shell import UNET, train
from torch import Tensor

import undiffuse as library
from undiffuse import codec, posteriors
from undiffuse.diffusion import Way
from undiffuse.recipes import load_data
from undiffuse.runs import Run


@contextmanager
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


AMBIENT = {"float64": float64, "autocast": lambda: torch.autocast("cpu", torch.bfloat16)}
ROLL = ["swiss-roll", "data.train=99", "data.test=20", "network.hidden=8"]


def drawn(run: Run) -> dict[str, Tensor]:
    """What the public calls give, by their names."""
    raw = load_data(run.recipe).test[:3]
    half = torch.arange(raw[0].numel()).view(run.shape) % 2 == 0
    seen = {"known": run.known(raw[0].float(), half)}
    if run.model.kernel.symbols is None:
        seen["noisy"] = run.noisy(raw[0], 0.5)
    if len(run.shape) == 3:
        seen["blurred"] = run.measured(posteriors.operators.Blur(1.0), raw[0].float(), 0.3)
    way = Way(particles=4, groups=2, steps=4)
    given = {name: run.posterior(factor, 2, way=way) for name, factor in seen.items()}
    found = {name: each.samples for name, each in given.items()}
    found |= {
        f"evidence of {name}": torch.tensor(each.log_evidence, dtype=torch.float64)
        for name, each in given.items()
    }
    found |= {"sample": run.sample(2, steps=3), "bits": run.bits(raw, terms=2)}
    found["path"] = torch.stack([x for _, x in run.trajectory(2, steps=3)])
    found["middle"] = run.interpolate(raw[:1], raw[1:2], steps=3, points=3)
    found["report"] = run.evaluate(raw, terms=2).per_step
    if run.levels is not None:
        for method in ("lossless",) if run.model.kernel.symbols else ("lossless", "universal"):
            data = codec.compress(run.model, raw, method=method, grid=run.grid, steps=3)
            assert torch.equal(codec.decompress(run.model, data, grid=run.grid), raw)
            found[method] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return found


@pytest.mark.parametrize("kind", ["digits", "vectors", "bits"])
def test_calls(all_runs: dict[str, Path], kind: str):
    before = library.load(all_runs[kind])
    expected = drawn(before)
    for number, around in enumerate(AMBIENT):
        with AMBIENT[around]():
            inside = library.load(all_runs[kind])
            for run in (before, inside) if number == 0 else (inside,):
                for name, found in drawn(run).items():
                    assert torch.equal(found, expected[name]), (around, name)
                    assert found.dtype == expected[name].dtype, (around, name)


@pytest.mark.parametrize("around", AMBIENT.values(), ids=AMBIENT)
@pytest.mark.parametrize(
    "words",
    [
        ["digits", *UNET, "condition=labels", "train.flips=true", "train.precision=fp32"],
        [*ROLL, "objective=continuous", "kernel.schedule.kind=learned", "train.optimizer=muon"],
    ],
    ids=["labels", "learned"],
)
def test_training(tmp_path: Path, words: list[str], around: Callable):
    """And going on outside with what was begun inside."""
    quiet = ["train.evaluate_every=0", "train.sample_every=0", "train.checkpoint_every=3"]
    plain = train(tmp_path / "plain", words, *quiet)
    with around():
        inside = train(tmp_path / "inside", words, *quiet)
    begun = shutil.copytree(inside, tmp_path / "begun")
    shutil.rmtree(begun / "checkpoints" / "step-00000006")
    train(begun, words, *quiet)
    expected = library.load(plain).model.state_dict()
    for run in (inside, begun):
        found = library.load(run).model.state_dict()
        assert all(torch.equal(found[key], value) for key, value in expected.items()), run.name
