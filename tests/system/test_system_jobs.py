"""Large jobs: samples in shards, evaluations that go on where they were cut off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from shell import good, refused_last, tree, undiffuse

from undiffuse.runs import jobs, load


def test_large_requests_are_shards(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "SHARD", 8)
    monkeypatch.setattr("undiffuse.runs.LARGE", 16)
    run = copy("points")
    words = ("sample", run, "-n", 20, "--seed", 3, "--first", 5)
    printed = good(*words)
    folder = run / "samples" / "seed3-from5-n20"
    names = [*(f"shard-0000{i}.npy" for i in range(3)), "MANIFEST.json"]
    assert printed == f"{folder / 'MANIFEST.json'}\n"
    assert tree(folder) == {*names, "job.json"}
    drawn = np.concatenate([np.load(folder / name) for name in names[:3]])
    assert np.array_equal(drawn, load(run).sample(20, 3, first=5).numpy())
    before = {name: (folder / name).read_bytes() for name in names}
    times = {name: (folder / name).stat().st_mtime_ns for name in names}
    (folder / names[1]).write_bytes(before[names[1]][:-1] + b"x")  # as long, but not as it was written
    (folder / names[2]).unlink()
    good(*words)
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert (folder / names[0]).stat().st_mtime_ns == times[names[0]]
    (folder / "job.json").write_text('{"step": 1}')
    assert "samples of other weights (step 1, now 6)" in refused_last(*words, code=2)


def test_an_evaluation_goes_on_where_it_was_cut_off(
    copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
):
    run = copy("points")
    monkeypatch.setattr(jobs, "PAUSE", 0.0)
    monkeypatch.setattr("undiffuse.bounds.streamed.block_of", lambda *_: 8)
    whole = good("evaluate", run)
    numbers, real, seen = (run / "evaluation-test.json").read_bytes(), jobs._store, []

    def cut(path, partial):
        real(path, partial)
        seen.append(partial.done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "_store", cut)
    assert undiffuse("evaluate", run).code == 130
    (partial,) = run.glob("partial-*.safetensors")
    assert good("evaluate", run) == whole
    assert (run / "evaluation-test.json").read_bytes() == numbers
    assert seen == [8, 16, 24, 32, 40]
    assert not partial.exists()


def test_a_damaged_partial_result_is_not_used(copy: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    run = copy("points")
    with jobs.resumed(load(run), "key") as resume:
        assert resume["partial"] is None
    with pytest.raises(RuntimeError), jobs.resumed(load(run), "key") as resume:
        monkeypatch.setattr(jobs, "PAUSE", 0.0)
        moments = jobs.Partial()
        for each in (moments.scalars, moments.steps):
            each.add(torch.ones(3, 2))
        resume["kept"](moments)
        raise RuntimeError
    (file,) = run.glob("partial-*.safetensors")
    data = file.read_bytes()
    assert jobs._partial(jobs._stored(file)).done == 3
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert jobs._stored(file) is None
