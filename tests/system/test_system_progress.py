"""Figures while it trains: every kind of data has its own, and drawing them changes nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import CHAIN, POINTS, UNET, good, refused, train, tree

from undiffuse import plots
from undiffuse.recipes import override, read
from undiffuse.runs import Experiment, read_metrics
from undiffuse.training import checkpoint

EVERY = ["train.steps=4", "train.figures_every=2", "train.sample_steps=12", "train.sample_every=0"]
BITS = ["heartbeat", "data.train=60", "data.test=7", "network.hidden=4", "network.layers=1"]
ARRAY = ["images", "data.kind=array", "network.kind=mlp", "network.hidden=8", "train.flips=false"]
KINDS = {
    "points": (POINTS, {"plain", "inpainted", "denoised"}),
    "images": (["digits", *UNET], {"plain", "inpainted", "denoised", "fields"}),
    "dense": (
        ["digits", "network.kind=mlp", "network.hidden=64"],
        {"plain", "inpainted", "denoised", "fields"},
    ),
    "bits": (BITS, {"plain", "inpainted"}),
    "levels": ([*ARRAY, "data.path=levels.npy"], {"plain", "inpainted", "denoised"}),
    "sequences": ([*ARRAY, "data.path=sequences.npy"], {"plain", "inpainted", "denoised"}),
}


def run(folder: Path, recipe: list[str], *changes: str) -> Path:
    r = np.random.default_rng(0)
    np.save("levels.npy", r.integers(0, 5000, size=(30, 5)).astype("u2"))
    np.save("sequences.npy", r.normal(size=(30, 2, 7)).astype("f4"))
    good("train", *recipe, *CHAIN, *EVERY, "train.evaluate_every=0", *changes, "--out", folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_figures_of_every_kind_of_data(tmp_path: Path, kind: str):
    recipe, samples = KINDS[kind]
    last = 4 if kind == "points" else 2
    figures = run(tmp_path / "run", recipe, f"train.steps={last}") / "figures"
    names = {f"{name}.png" for name in samples | {"parameters", "gradients"}}
    steps = {f"step-0000000{step}" for step in range(2, last + 1, 2)}
    files = {f"{step}/{name}" for step in steps for name in names}
    assert tree(figures) == files | steps | {"monitors.png"}
    for name in (*files, "monitors.png"):
        with Image.open(figures / name) as picture:
            assert min(picture.size) > 100 and np.ptp(np.asarray(picture)) > 100


def test_the_known_half_and_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stages go from the truth to the end; the right half of an inpainting is the truth throughout."""
    drawn = {}
    monkeypatch.setattr(
        plots, "save_stages", lambda rows, path, _=None: drawn.update({(path.parent, path.stem): rows})
    )
    folder = run(tmp_path / "run", ["digits", *UNET], "train.steps=2") / "figures/step-00000002"
    for name in ("plain", "inpainted", "denoised"):
        rows = drawn[folder, name]
        assert [label for label, _ in rows] == ["true", "start", "t = 0.75", "t = 0.5", "t = 0.25", "end"]
        assert {tuple(x.shape) for _, x in rows} == {(12, 1, 8, 8)}
    true, *states = (x.int() for _, x in drawn[folder, "inpainted"])
    assert all(torch.equal(x[..., 4:], true[..., 4:]) for x in states)
    assert all(not torch.equal(x[..., 3], true[..., 3]) for x in states)


def test_a_denoising_starts_at_the_observation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Which is x_0 + N(0, 1)."""
    drawn = {}
    monkeypatch.setattr(plots, "save_trajectories", lambda *a: drawn.update({a[3].stem: a}))
    run(tmp_path / "run", POINTS, "data.test=1000", "train.steps=2")
    times, forward, reverse, _ = drawn["denoised"]
    assert times == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    x_0, seen = forward[-1], reverse[0]
    assert (x_0 * seen).mean() / x_0.square().mean() == pytest.approx(1, abs=0.1)
    assert (seen - x_0).std().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(drawn["inpainted"][2][-1][:, 1], x_0[:, 1])


def test_the_filters_are_the_first_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not those of the embedding of time, be it as wide as the image."""
    drawn = []
    monkeypatch.setattr(plots, "save_fields", lambda weights, *_: drawn.append(weights.detach()))
    for name in ("save_stages", "save_histograms"):
        monkeypatch.setattr(plots, name, lambda *_: None)
    for words in (["network.kind=mlp", "network.hidden=64"], UNET):
        node = override(read("digits"), [*words, *CHAIN, *EVERY, "train.steps=2"])
        experiment = Experiment.create(f"run{len(drawn)}", node)
        list(experiment.train())
        first = experiment.run.model.network.first.weight.detach()
        assert torch.equal(drawn[-1].flatten(1), first.flatten(1)[:64])
    assert drawn[0].shape == (64, 1, 8, 8)


def test_samples_are_the_averages_and_gradients_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn, sampled = {}, []
    monkeypatch.setattr(plots, "save_stages", lambda *_: sampled.append(first().clone()))
    monkeypatch.setattr(
        plots, "save_histograms", lambda named, path, _: drawn.update({path.stem: dict(named)})
    )
    node = override(read("digits"), [*UNET, *CHAIN, *EVERY, "train.steps=2", "train.ema=0.9"])
    experiment = Experiment.create(tmp_path / "run", node)
    name, weight = list(experiment.run.model.named_parameters())[-1]  # the first to move
    first = weight.detach
    events = list(experiment.train())
    norm = torch.stack([g.square().sum() for g in drawn["gradients"].values()]).sum().sqrt()
    assert norm.item() == pytest.approx(min(1.0, events[-1].progress.grad_norm), rel=1e-4)
    *sampled, _ = sampled  # and what is drawn at the end
    assert all(torch.equal(used, experiment.state.ema.average[name]) for used in sampled)
    assert len(sampled) == 3 and not torch.equal(sampled[0], weight)
    weights = dict(experiment.run.model.named_parameters())
    assert all(
        torch.equal(*pair) for pair in zip(drawn["parameters"].values(), weights.values(), strict=True)
    )
    assert {path.name for path in events[-1].files} >= {"plain.png", "gradients.png", "monitors.png"}
    assert not events[0].files


def test_figures_change_no_weight_and_log_their_step(tmp_path: Path):
    drawn = run(tmp_path / "drawn", POINTS, "train.log_every=3")
    plain = train(tmp_path / "plain", POINTS, "train.steps=4", "train.log_every=3")
    a, b = (checkpoint.load(checkpoint.latest(x / "checkpoints")).weights for x in (drawn, plain))
    assert all(torch.equal(a[name], b[name]) for name in b)
    assert [row["step"] for row in read_metrics(drawn)] == [2, 3, 4]
    assert [row["step"] for row in read_metrics(plain)] == [3, 4]
    assert "figures" not in tree(plain)


def test_a_negative_interval_is_refused():
    assert "train.figures_every=-1: must be at least 0" in refused("train", *POINTS, "train.figures_every=-1")
