"""Parts of a batch, and processes that share them, make the step that one process makes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy import new_state, settings, steps, tensors

from undiffuse.conditions import Classes
from undiffuse.data import Values
from undiffuse.objectives import Continuous, Importance, Independent, Simple, Stratified, Variational
from undiffuse.processes import ALONE, Processes
from undiffuse.random import Batch, normal, uniform
from undiffuse.schedules import Learned, LearnedBetas, grids
from undiffuse.training import Batches
from undiffuse.training.parallel import check_shard, placed, whole

GRID = grids.uniform(20)
OBJECTIVES = [
    Simple(times=Stratified()),
    Simple(times=Independent(), grid=GRID),
    Variational(grid=GRID),
    Variational(grid=GRID, draws=3),
    Variational(grid=GRID, times=Importance(4)),
    Simple(times=Importance(4)),
    Continuous(grid=GRID),
]


@pytest.mark.parametrize("shape", [(), (3,), (1, 50, 60)])
@pytest.mark.parametrize("draw", [normal, uniform])
def test_a_row_draws_the_same_whichever_it_is_with(draw, shape):
    size = 150

    def drawn(rows):
        noise = Batch(0, "test", rows=rows, size=size)
        return torch.stack([draw((len(rows), *shape), noise) for _ in range(2)])

    every = drawn(range(size))
    assert every.unique().numel() == every.numel()
    for rows in (range(1), range(63, 66), range(100, 150), torch.tensor([140, 3, 77])):
        assert torch.equal(drawn(rows), every[:, torch.as_tensor(rows)])


def test_parts_of_a_batch_draw_something_else():
    noise = Batch(0, rows=range(4, 8), size=10)
    part, again = noise.part("a", torch.tensor([1, 3])), Batch(0, rows=range(10), size=10)
    assert part.rows.tolist() == [5, 7]
    whole_part = again.part("a", torch.arange(10))
    assert torch.equal(normal((2, 3), part), normal((10, 3), whole_part)[[5, 7]])
    assert not torch.equal(normal((4, 3), noise)[[1, 3]], normal((2, 3), noise.part("b", part.rows - 4)))
    twice = noise.repeated(2)
    assert twice.rows.tolist() == [8, 9, 10, 11, 12, 13, 14, 15]
    assert normal((8, 1), twice).unique().numel() == 8
    assert normal((0, 3), noise.part("none", torch.tensor([], dtype=torch.long))).shape == (0, 3)
    with pytest.raises(ValueError, match="noise for 4 rows cannot fill a batch of 5"):
        normal((5, 2), noise)


def test_noise_of_a_batch_is_normal_and_uniform():
    n = 20_000
    x = normal((n, 2), Batch(1, rows=range(n), size=n))
    assert x.mean(0).abs().max() < 5 / n**0.5
    assert (x.var(0) - 1).abs().max() < 5 * (2 / n) ** 0.5
    assert abs((x[:-1] * x[1:]).mean()) < 5 / n**0.5
    u = uniform((n,), Batch(1, rows=range(n), size=n))
    assert abs(u.mean() - 0.5) < 5 / (12 * n) ** 0.5


LEARNED = [
    (Continuous(grid=GRID), Learned),
    (Continuous(times=Importance(4), grid=GRID), Learned),
    (Variational(grid=GRID), Learned),
    (Variational(grid=GRID), LearnedBetas),
]


@pytest.mark.parametrize(("objective", "schedule"), [(each, None) for each in OBJECTIVES] + LEARNED)
def test_parts_make_the_step_of_the_whole(objective, schedule):
    """Up to rounding, noise and times of every row included; importance learns from all parts."""
    times = objective.times
    found = {}
    for parts in (1, 2, 4, 8):
        if isinstance(times, Importance):
            times.restore({"squares": [-1.0] * 4})
        state = new_state(accumulate=parts, schedule=None if schedule is None else schedule())
        reports = steps(state, objective, 4)
        found[parts] = [r.loss for r in reports], tensors(state), times.state()
    for losses, weights, learned in (found[2], found[4], found[8]):
        assert losses == pytest.approx(found[1][0], rel=2e-5)
        assert learned.keys() == found[1][2].keys()
        for name, values in learned.items():
            assert values == pytest.approx(found[1][2][name], rel=1e-4)
        for name, t in weights.items():
            torch.testing.assert_close(t, found[1][1][name], rtol=1e-3, atol=2e-5)


def test_parts_of_a_batch_are_its_rows():
    how = {"size": 8, "seed": 3}
    images = torch.rand(40, 1, 2, 3, generator=torch.Generator())
    how |= {"data": images, "encode": lambda x: x, "flips": True, "dropout": 0.5}
    how["conditions"] = {"label": Values(Classes(40), {"train": torch.arange(40)})}
    for step in (0, 4, 5):  # 5 spans two epochs
        every = Batches(**how)
        parts = [Batches(**how, part=range(*ends)) for ends in ((0, 3), (3, 4), (4, 8))]
        assert torch.equal(torch.cat([each(step) for each in parts]), every(step))
        given = [each.given(step).values["label"] for each in (every, *parts)]
        assert torch.equal(torch.cat(given[1:]), given[0]) and 0 < (given[0] < 0).sum() < 8


def test_one_process_has_everything():
    assert (ALONE.rank, ALONE.size, ALONE.leads) == (0, 1, True)
    assert ALONE.part(5) == range(5)
    assert [t.item() for t in ALONE.spread(lambda i: torch.tensor(i), 3)] == [0, 1, 2]
    assert ALONE.lead(lambda: {"any": object}) == {"any": object}
    assert ALONE.total([1.5]) == [1.5] and ALONE.largest(3) == 3 and ALONE.share("x") == "x"
    t = torch.ones(2)
    assert ALONE.gather(t) is t and whole(t) is t and placed(t, t) is t


@pytest.mark.parametrize("count", [3, 4, 10, 11])
def test_parts_are_contiguous_and_nearly_equal(count):
    parts = []
    for rank in range(3):
        one = Processes()
        one.rank, one.size = rank, 3
        parts.append(one.part(count))
    assert [i for part in parts for i in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_three_processes_agree():
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    script = Path(__file__).with_name("group.py")
    done = subprocess.run([sys.executable, *words, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 3


def test_too_many_processes_are_refused():
    settings(batch=6, accumulate=2).check_processes(3)
    with pytest.raises(ValueError, match=r"train\.batch=6: 4 processes with train\.accumulate=2 need 8"):
        settings(batch=6, accumulate=2).check_processes(4)
    with pytest.raises(ValueError, match=r"train\.figures_every=5.*train\.shard"):
        settings(shard=True, figures_every=5).check_processes(2)
    settings(shard=True, figures_every=5).check_processes(1)


@pytest.mark.parametrize(
    ("objective", "optimizer", "message"),
    [
        (Simple(), "muon", "Muon needs whole matrices; use train.optimizer=adamw"),
        (Variational(grid=GRID), "adamw", "as often as its terms need"),
    ],
)
def test_weights_that_cannot_be_split_are_not(objective, optimizer, message):
    model = new_state().model
    check_shard(model, Simple(), "adamw")
    with pytest.raises(ValueError, match=message):
        check_shard(model, objective, optimizer)
