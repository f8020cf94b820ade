"""Every recipe that ships builds, and its full description is the same recipe."""

import subprocess
import sys

import pytest
import torch
import yaml

from undiffuse.bases import Base, fit, fit_columns
from undiffuse.conditions import Classes, Image, Vector
from undiffuse.kernels import Mixed
from undiffuse.marginals import Marginals
from undiffuse.posteriors import Known
from undiffuse.random import keyed
from undiffuse.recipes import Recipe, override, read, shipped
from undiffuse.samplers import sample
from undiffuse.schedules.grids import check_grid, thin
from undiffuse.tensors import ONE

DATA = {
    "demo": ((1, 8, 8), 17),
    "digits": ((1, 8, 8), 17),
    "digits-super-resolution": ((1, 8, 8), 17),
    "digits-rotated": ((1, 8, 8), 17),
    "fashion-mnist": ((1, 28, 28), 256),
    "fashion-mnist-super-resolution": ((1, 28, 28), 256),
    "colourisation": ((3, 16, 16), 256),
    "mnist": ((1, 28, 28), 256),
    "fashion-mnist-annotated": ((1, 28, 28), 256),
    "fashion-mnist-best": ((1, 28, 28), 256),
    "images": ((3, 9, 13), 256),
    "cifar10": ((3, 32, 32), 256),
    "cifar10-conditional": ((3, 32, 32), 256),
    "lsun": ((3, 32, 32), 256),
    "swiss-roll": ((2,), None),
    "swiss-roll-2015": ((2,), None),
    "swiss-roll-40": ((2,), None),
    "heartbeat": ((20,), 2),
    "heartbeat-fast": ((20,), 2),
    "dead-leaves": ((1, 16, 16), None),
    "dead-leaves-fast": ((1, 16, 16), None),
    "textures": ((1, 16, 16), None),
    "textures-fast": ((1, 16, 16), None),
    "bark": ((1, 16, 16), None),
    "mnist-2015": ((1, 28, 28), None),
    "mnist-fast": ((1, 28, 28), 256),
    "cifar10-2015": ((3, 32, 32), None),
    "imagenet-2015": ((3, 32, 32), None),
    "vectors": ((5,), None),
    "bits": ((12,), 2),
    "symbols": ((6,), 4),
    "table": ((1,), None),
}


GIVEN = {
    "cifar10-conditional": {"labels": Classes(10)},
    "digits-rotated": {"labels": Vector((1,), (0.0,), (52.0,))},
    "digits-super-resolution": {"smaller": Image((1, 4, 4), (5.0,), (4.0,))},
    "fashion-mnist-super-resolution": {"smaller": Image((1, 7, 7), (70.0,), (80.0,))},
    "colourisation": {"grey": Image((1, 16, 16), (100.0,), (60.0,))},
}
LARGE = ("cifar10", "cifar10-conditional", "lsun")  # built with fewer channels


def plan_of(name: str) -> Recipe:
    return Recipe(override(read(name), ["network.channels=32"] if name in LARGE else []))


def base_of(plan: Recipe, shape: tuple[int, ...]) -> Base | None:
    """What the recipe's model begins at, of data that say little."""
    if plan.base_kind(shape) == "none":
        return None
    kernel = plan["kernel"].build()
    if isinstance(kernel, Mixed):
        rows = torch.arange(20.0).unsqueeze(1)
        maps = Marginals.fit(rows, [0.0])
        return fit_columns(maps.encode(rows).float(), [0], maps)
    data = torch.arange(20).view(-1, *[1] * len(shape)).expand(20, *shape) % (kernel.symbols or 20)
    return fit([data if kernel.symbols else data.double()], kernel)


def test_every_recipe_is_here():
    assert shipped() == sorted(DATA)


@pytest.mark.parametrize("name", DATA)
def test_it_builds_a_model_that_runs(name: str):
    plan, (shape, levels) = plan_of(name), DATA[name]
    model = plan.denoiser(shape, levels, GIVEN.get(name), base=base_of(plan, shape))
    x_t, t = torch.zeros(2, *shape), torch.tensor(0.5)
    assert model.predict(x_t, t).shape[: x_t.ndim] == x_t.shape  # of symbols, probabilities
    assert model.decode(x_t, t).mean.shape == x_t.shape
    grid = check_grid(plan.grid(model.kernel))
    loss = plan.objective(model.kernel)(model, x_t, torch.Generator())
    assert loss.shape == (2,)
    plan["sampler"].build().check(model)
    assert plan["train"].build().steps > 100
    assert len(grid) >= 40
    assert plan["about"]


@pytest.mark.slow
def test_building_and_training_one_loads_no_compiler():
    """PyTorch's takes seconds, whenever a run is looked at; here in a process that is new."""
    plain = {name for name in DATA if plan_of(name).base_kind(DATA[name][0]) == "none"}
    built = {name: DATA[name] for name in DATA if name in plain - set(LARGE)}
    code = (
        "import sys; from undiffuse.recipes import read; from undiffuse.recipes.recipe import Recipe\n"
        f"for name, (shape, levels) in {built}.items():\n"
        "    Recipe(read(name)).denoiser(shape, levels)\n"
        "    assert 'torch._dynamo' not in sys.modules, name\n"
        "from torch import nn; from undiffuse.training import Precision, Settings\n"
        "from undiffuse.training.optimizer import optimizer_of\n"
        "layer = nn.Linear(16, 16)\n"
        "for kind in ('adamw', 'muon'):\n"
        "    optimizer = optimizer_of(layer, Settings(optimizer=kind), Precision('fp32', 'a test'))\n"
        "    layer(layer.weight).sum().backward(), optimizer.step(), optimizer.zero_grad()\n"
        "assert 'torch._dynamo' not in sys.modules, 'its training'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name", ["bark", "dead-leaves", "textures", "mnist-2015", "cifar10-2015", "imagenet-2015"]
)
def test_chains_that_keep_nothing_to_the_end_take_observations(name: str):
    """At t = 1 there is no last step to ask for; a hole is filled, and what is known stays."""
    plan, (shape, levels) = plan_of(name), DATA[name]
    model = plan.denoiser(shape, levels)
    assert float(model.kernel.schedule.keep(ONE)) == 0
    value, mask = torch.full(shape, 0.5), torch.rand(shape, generator=keyed(0)) < 0.5
    grid, size = thin(plan.grid(model.kernel), 2), (1, *shape)
    x = sample(model * Known(value, mask), size, grid=grid, generator=keyed(0), block=1)
    assert bool(x.isfinite().all()) and bool((x[0][mask] == 0.5).all())


@pytest.mark.parametrize("name", DATA)
def test_the_description_is_the_same_recipe(name: str):
    full = plan_of(name).describe()
    text = yaml.safe_dump(full, sort_keys=False)
    assert Recipe(yaml.safe_load(text)).describe() == full
    assert yaml.safe_load(text) == full
    assert {"data", "network", "kernel", "grid", "objective", "sampler", "train", "seed"} <= full.keys()


@pytest.mark.parametrize("name", DATA)
def test_the_description_builds_the_same_model(name: str):
    models = []
    for plan in (plan_of(name), Recipe(plan_of(name).describe())):
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            base = base_of(plan, DATA[name][0])
            models.append(plan.denoiser(*DATA[name], GIVEN.get(name), base=base))
    assert str(models[0]) == str(models[1])
    a, b = (model.state_dict() for model in models)
    assert all(torch.equal(a[key], b[key]) for key in a | b)
    t = torch.linspace(0.01, 1, 5, dtype=torch.float64)
    assert torch.equal(*(m.kernel.schedule.logsnr(t) for m in models))


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    plan_of("digits").denoiser(*DATA["digits"])
    assert torch.equal(torch.get_rng_state(), before)


def test_defaults_are_written_out():
    least = Recipe({"data": "digits", "network": "mlp"})
    full = least.describe()
    assert full["network"] == {"kind": "mlp", "hidden": 128, "layers": 4, "dropout": 0.0}
    assert full["objective"] == {"kind": "simple", "loss": "l2", "weight": None, "times": None}
    assert full["train"]["keep"] == 2
    assert full["decoder"] is None  # the data will say


def test_a_decoder_that_was_asked_for_stays():
    node = {"data": "digits", "network": "mlp", "decoder": {"kind": "discretized", "std": 0.1}}
    plan = Recipe(node)
    assert plan.describe()["decoder"] == {"kind": "discretized", "std": 0.1}
    decoder = plan.denoiser((1, 8, 8), 17).decoder
    assert (decoder.levels, decoder.std) == (17, 0.1)


def test_the_decoder_follows_the_data():
    plan = Recipe({"data": "digits", "network": "mlp", "base": "none"})
    assert plan.denoiser((3,), 5).decoder.levels == 5
    assert type(plan.denoiser((3,), None).decoder).__name__ == "NormalDecoder"


def test_learned_variances_get_their_outputs():
    changes = ["variance=interpolated", "objective=variational", "network=mlp", "grid.steps=4"]
    plan = Recipe(override(read("digits"), changes))
    model = plan.denoiser((1, 8, 8), 17)
    assert model.network(torch.zeros(1, 1, 8, 8), torch.zeros(1)).shape == (1, 2, 8, 8)


def test_grids_that_need_the_schedule_get_it():
    plan = Recipe(override(read("swiss-roll"), ["grid.kind=log-snr", "grid.steps=5", "grid.first=0.01"]))
    model = plan.denoiser((2,), None)
    logsnr = model.kernel.schedule.logsnr(plan.grid(model.kernel))
    torch.testing.assert_close(logsnr.diff().diff(), torch.zeros(3).double(), atol=1e-8, rtol=0)
