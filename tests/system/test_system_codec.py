"""compress, decompress, inspect and rate-distortion, from files to files."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import good, refused, train, tree, undiffuse

import undiffuse as library
from undiffuse import bounds, codec
from undiffuse.codec.container import pack, unpack
from undiffuse.recipes import load_data
from undiffuse.reports import weighing
from undiffuse.runs import load
from watched import reports, watched

FEW = ["--steps", "3", "--no-bound"]


def refused_late(*arguments: object, code: int = 2) -> str:
    """The last line on standard error of a command that must fail; a bar of progress may come before it."""
    result = undiffuse(*arguments)
    assert result.code == code and "Traceback" not in result.err, result
    *_, last = result.err.splitlines()
    assert last.startswith("undiffuse: ")
    return last


@pytest.fixture(autouse=True)
def quick_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fewer examples than a real one."""
    monkeypatch.setattr("undiffuse.codec.files.PLANNED", 2**11)


@pytest.fixture
def drawn(tmp_path: Path) -> list[Path]:
    """Pictures in colour of other sizes than the run's 7 x 9, two of the same name."""
    r, paths = np.random.default_rng(3), []
    (tmp_path / "more").mkdir()
    for name, (h, w) in {"a b.png": (7, 9), "odd é.png": (16, 5), "more/a b.png": (1, 1)}.items():
        ramp = np.add.outer(np.arange(h), np.arange(w))[..., None] * [3, 2, 1] + r.integers(0, 9, (h, w, 3))
        paths.append(tmp_path / name)
        Image.fromarray(ramp.astype("u1")).save(paths[-1])
    return paths


def same(a: Path, b: Path) -> bool:
    with Image.open(a) as one, Image.open(b) as other:
        return np.array_equal(np.array(one), np.array(other))


@pytest.mark.parametrize("lossy", [[], ["--lossy"], ["--method", "channel"]], ids=" ".join)
def test_pictures_of_any_size_come_back(runs, drawn, tmp_path, lossy):
    said = good("compress", runs / "pictures", *drawn, "-o", "p.und", *FEW, *lossy)
    assert all(word in said for word in ("coded data", "PNG", "WebP", "xz", "chosen")) and "p.und" in said
    good("decompress", runs / "pictures", "p.und", "-o", "back")
    assert tree(tmp_path / "back") == {"a b.png", "odd é.png", "a b-2.png"}
    for path, name in zip(drawn, ("a b", "odd é", "a b-2"), strict=True):
        assert same(path, tmp_path / "back" / f"{name}.png")
    told = good("inspect", "p.und")
    assert all(word in told for word in ("3x7x9", "256", "3 of 12", " knots", "bits per dimension"))


def test_names_stay_in_the_folder(runs, drawn, tmp_path):
    good("compress", runs / "pictures", *drawn, "-o", "p.und", *FEW)
    header, parts = unpack((tmp_path / "p.und").read_bytes())
    for names in (["../../x", "/etc/x\0\x1b[2J", ".."], ["same", "same", "SAME"], ["", " ", "x" * 4000]):
        sizes = [[name, *size] for name, (_, *size) in zip(names, json.loads(header.extra), strict=True)]
        bad = replace(header, extra=json.dumps(sizes).encode())
        (tmp_path / "bad.und").write_bytes(pack(bad, parts))
        before = tree(tmp_path)
        good("decompress", runs / "pictures", "bad.und", "-o", "back")
        made = tree(tmp_path) - before
        assert len(made) == 4 and all(name.startswith("back") and name.isprintable() for name in made)
        for path in (tmp_path / "back").iterdir():
            path.unlink()
        (tmp_path / "back").rmdir()


LIES = ["{}", "[1]", "[[1,2]]", "?", "[" * 9999, '[["a",1e999,1]]', '[["a",0,1]]', '[["a",9,1e9]]']
LIES += ['[["a",-7,9]]', '[["a",700,9]]', '[["a",7,9]]', '[["a",null,9]]', '[["a",16777216,16777216]]']


def test_lists_of_pictures_that_lie(runs, drawn, tmp_path):
    good("compress", runs / "pictures", *drawn, "-o", "p.und", *FEW, "--no-verify")
    header, parts = unpack((tmp_path / "p.und").read_bytes())
    for extra in LIES:
        (tmp_path / "bad.und").write_bytes(pack(replace(header, extra=extra.encode()), parts))
        assert "pictures" in refused("decompress", runs / "pictures", "bad.und", "-o", "back"), extra
        assert not (tmp_path / "back").exists()


def test_arrays_and_bits(runs, bits, made, tmp_path):
    levels, beats = np.load(made / "levels.npy")[:30], np.random.default_rng(0).integers(0, 2, (50, 20))
    for run, array in ((runs / "levels", levels), (bits, beats.astype("f4")), (bits, beats[0])):
        name = f"{array.ndim}{array.dtype}"
        np.save(tmp_path / "a.npy", array)
        good("compress", run, "a.npy", "-o", f"{name}.und", *FEW)
        good("decompress", run, f"{name}.und", "-o", name)
        found = np.load(tmp_path / name / "data.npy")
        assert np.array_equal(found, array.reshape(found.shape))
    good("compress", bits, "--test", "5", "-o", "t.und")
    assert "20" in good("inspect", "t.und")


def test_a_part_of_a_lossy_file(runs, tmp_path):
    """--bits, and a file that was cut off; the error falls along it."""
    steps = ["--steps", "12", "--no-bound"]
    good("compress", runs / "digits", "--test", "2", "-o", "l.und", "--lossy", *steps)
    errors, data = [], (tmp_path / "l.und").read_bytes()
    whole = None
    for i, wanted in enumerate((99, 2.0, 0)):
        good("decompress", runs / "digits", "l.und", "-o", f"b{i}", "--bits", wanted)
        found = np.load(tmp_path / f"b{i}" / "data.npy")
        whole = found.astype(float) if whole is None else whole
        errors.append(float(np.square(found - whole).mean()))
    assert errors[0] == 0 < errors[1] <= errors[2] * 1.5
    (tmp_path / "cut.und").write_bytes(data[:-1])
    good("decompress", runs / "digits", "cut.und", "-o", "cut")
    assert "lossy" in refused(
        "decompress", runs / "digits", lossless(runs, tmp_path), "-o", "x", "--bits", "1"
    )


def lossless(runs: Path, folder: Path) -> Path:
    good("compress", runs / "digits", "--test", "2", "-o", folder / "e.und", "--method", "lossless", *FEW)
    return folder / "e.und"


def test_rate_distortion(runs, tmp_path):
    said = good("rate-distortion", runs / "digits", "--test", "2", "--steps", "3", "-o", "rd.png")
    assert "real bytes" in said and "bound" in said
    with Image.open(tmp_path / "rd.png") as picture:
        assert picture.size[0] > 100
    assert "progressive" in refused("rate-distortion", runs / "digits", "--method", "lossless")


def test_what_compress_refuses(runs, bits, drawn, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (7, 9, 4)).astype("u1")
    Image.fromarray(noise).save("alpha.png")
    Image.fromarray(noise[..., 0].astype("u2") * 200).save("deep.png")
    Image.fromarray(noise[..., 0]).save("grey.png")
    Path("broken.png").write_bytes(drawn[0].read_bytes()[:60])
    np.save("half.npy", np.full((2, 4), 0.5))
    np.save("many.npy", np.full((2, 4), 70_000))
    np.save("wide.npy", np.zeros((2, 5), "u1"))
    np.save("none.npy", np.zeros((0, 4), "u1"))
    before = tree(tmp_path)
    for run, words, wrong in (
        ("pictures", [], "name files"),
        ("pictures", [drawn[0], "--test", "1"], "not both"),
        ("pictures", ["alpha.png"], "alpha.png"),
        ("pictures", ["deep.png"], "deep.png"),
        ("pictures", ["grey.png"], "1 channels"),
        ("pictures", ["broken.png"], "broken.png"),
        ("pictures", ["nowhere.png"], "nowhere.png"),
        ("pictures", ["half.npy"], "shape"),
        ("pictures", [drawn[0], "--method", "zip"], "zip"),
        ("pictures", [drawn[0], "--steps", "13"], "steps=13"),
        ("pictures", [drawn[0], "--steps", "0"], "steps=0"),
        ("pictures", ["--test", "99999"], "99999"),
        ("levels", ["half.npy"], "whole numbers"),
        ("levels", ["many.npy"], "0 to 65535"),
        ("levels", ["wide.npy"], "shape"),
        ("levels", ["none.npy"], "shape"),
        ("levels", [drawn[0]], ".npy"),
        ("vectors", ["--test", "2"], "continuous"),
        ("bits", ["--test", "2", "--lossy"], "without --lossy"),
        ("pictures", [drawn[0], "-o", "grey.png"], "grey.png: exists already"),
    ):
        where = bits if run == "bits" else runs / run
        assert wrong in refused("compress", where, "-o", "out.und", *words), words
        assert tree(tmp_path) == before, words


def test_what_decompress_and_inspect_refuse(runs, bits, drawn, tmp_path):
    good("compress", runs / "pictures", drawn[0], "-o", "p.und", "--method", "lossless", *FEW)
    data = Path("p.und").read_bytes()
    Path("cut.und").write_bytes(data[:-2])
    Path("flip.und").write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    Path("empty.und").write_bytes(b"")
    Path("there").mkdir()
    before = tree(tmp_path)
    for run, words, wrong in (
        ("pictures", ["cut.und", "-o", "new"], "cut.und: cut off within chunk 1"),
        ("pictures", ["flip.und", "-o", "new"], "flip.und: damaged"),
        ("pictures", ["empty.und", "-o", "new"], "empty.und"),
        ("pictures", ["nowhere.und", "-o", "new"], "nowhere.und"),
        ("pictures", ["p.und", "-o", "there"], "there"),
        ("pictures", ["p.und", "-o", "new", "--max-values", "5"], "5 allowed"),
        ("digits", ["p.und", "-o", "new"], "p.und"),
        ("bits", ["p.und", "-o", "new"], "p.und"),
    ):
        where = bits if run == "bits" else runs / run
        assert wrong in refused("decompress", where, *words), words
        assert tree(tmp_path) == before, words
    for name in ("cut", "flip", "empty", "nowhere"):
        assert name in refused("inspect", f"{name}.und")


@pytest.mark.parametrize("lossy", [False, True])
def test_from_python(runs, lossy):
    run = library.load(runs / "digits")
    raw = load_data(run.recipe).test[:12]
    for model in (run, library.Diffusion(run.model, raw, levels=17, grid=run.grid)):
        track, told = watched()
        data = model.compress(raw.numpy(), lossy=lossy, steps=3, track=track)
        assert (
            torch.equal(model.decompress(data), raw) and reports(told, "compress") and reports(told, "verify")
        )
    with pytest.raises(ValueError, match="examples of shape"):
        run.compress(raw[:, :, 0])
    with pytest.raises(ValueError, match="continuous data"):
        points = library.load(runs / "points")
        points.compress(points.sample(3))


def test_what_is_verified(runs, drawn, monkeypatch, tmp_path):
    """A file that does not give back what went in is not written; without --verify nobody looks."""
    from undiffuse.diffusion import coded
    from undiffuse.runs import archive

    monkeypatch.setattr(
        coded, "_numbers", lambda run, data, **_: 1 + archive.gather(run, [str(drawn[0])]).raw
    )
    told = refused_late("compress", runs / "pictures", drawn[0], "-o", "p.und", *FEW, code=1)
    assert "it is not written" in told and not (tmp_path / "p.und").exists()
    good("compress", runs / "pictures", drawn[0], "-o", "p.und", *FEW, "--no-verify")
    assert (tmp_path / "p.und").exists()


@pytest.mark.parametrize("method", ["lossless", "channel"])
def test_the_bound_beside_a_file_is_that_of_its_chain(runs, method):
    """In bits per dimension, as `bounds.evaluate` has it for the planned model."""
    run, plan = library.load(runs / "digits"), codec.Plan(12, (3, 7, 11))
    raw, grid = load_data(run.recipe).test[:12], plan.grid(run.grid)
    model = codec.planned(codec.prepared(run.model, method), grid, plan)
    exact = bounds.evaluate(model, raw, grid=grid, encode=run.space.encode).total
    mean, error = weighing.chain_bound(run, plan, raw, method)
    assert mean == pytest.approx(exact.mean, rel=1e-5) and error == pytest.approx(exact.se, rel=1e-3)
    *points, (rate, left) = weighing.bound_curve(run, plan, raw, method)
    assert rate == pytest.approx(exact.mean, abs=5 * exact.se) and left == 0 < points[-1][1]


def plan_of(path: str) -> codec.Plan:
    return unpack(Path(path).read_bytes())[0].plan


def without_plans(run: Path) -> Path:
    """The run as if no test before had compressed anything."""
    for plan in run.glob("plan-*"):
        plan.unlink()
    return run


def test_plans_are_of_the_run_and_found_once(copy: Callable[[str], Path], tmp_path: Path):
    """Whatever is compressed, one plan for a number of examples, kept for these weights; printed with its
    error.
    """
    run = without_plans(copy("digits"))
    levels = np.random.default_rng(0).integers(0, 17, (4, 1, 8, 8)).astype("u1")
    np.save("noise.npy", levels)
    said = good("compress", run, "--test", 4, "-o", "a.und", "--no-bound")
    kept = {path.name: path.read_bytes() for path in run.glob("plan-*")}
    assert set(kept) == {"plan-lossless.json", "plan-universal.json"}
    loaded, told = load(run), json.loads(kept["plan-lossless.json"])
    splits = load_data(loaded.recipe)
    trade = codec.choose(loaded.model, splits.train, new=splits.test, grid=loaded.grid)
    assert [each["bits"] for each in told["options"]] == [each.bits for each in trade.options]
    assert told["held"] == trade.held == 32
    stamps = [path.stat().st_mtime_ns for path in sorted(run.glob("plan-*"))]
    again = good("compress", run, "noise.npy", "-o", "b.und", "--no-bound")
    assert [path.stat().st_mtime_ns for path in sorted(run.glob("plan-*"))] == stamps
    rows = [
        [line for line in text.splitlines() if re.search(r"(universal|lossless) +\d", line)]
        for text in (said, again)
    ]
    assert rows[0] == rows[1] and "chosen" in "".join(rows[0])
    assert plan_of("a.und") == plan_of("b.und")
    for damage in (b'{"key": [[[[', kept["plan-universal.json"].replace(b'"key": "', b'"key": "0')):
        (run / "plan-universal.json").write_bytes(damage)
        (tmp_path / "a.und").unlink()
        good("compress", run, "--test", 4, "-o", "a.und", "--no-bound")
        assert {path.name: path.read_bytes() for path in run.glob("plan-*")} == kept
        assert plan_of("a.und") == plan_of("b.und")


@pytest.mark.parametrize("lossy", [[], ["--lossy"]])
def test_the_smaller_method_is_taken(copy: Callable[[str], Path], lossy):
    run, sizes = copy("digits"), {}
    for method in ("lossless", "universal", "channel")[bool(lossy) :]:
        if lossy or method != "channel":
            good("compress", run, "--test", 6, "-o", f"{method}.und", "--method", method, "--no-bound")
            sizes[method] = Path(f"{method}.und").stat().st_size
    good("compress", run, "--test", 6, "-o", "chosen.und", "--no-bound", *lossy)
    assert Path("chosen.und").stat().st_size == min(sizes.values())
    np.save("flat.npy", np.zeros((30, 1, 8, 8), "u1"))  # unlike anything that the run has seen
    said = good("compress", run, "flat.npy", "-o", "flat.und", "--no-bound", *lossy)
    xz, size = re.search(r"xz is smaller: ([\d,]+) bytes, this file has ([\d,]+)", said).groups()
    assert int(xz) < int(size.replace(",", "")) == Path("flat.und").stat().st_size


def test_a_run_without_its_data_says_so(copy: Callable[[str], Path], drawn: list[Path]):
    run = without_plans(copy("pictures"))
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(re.sub(r"path: .*", "path: /nowhere/at/all", recipe))
    result = undiffuse("compress", run, *drawn, "-o", "p.und", "--no-bound")
    assert result.code == 0 and "weighed on these examples, not on the run's data" in result.err
    assert not any(run.glob("plan-*"))
    good("decompress", run, "p.und", "-o", "back")


def test_files_are_read_after_more_training(tmp_path: Path):
    """The checkpoint is kept, on the same bytes of the disk, and found again; without it the file is lost."""
    words = ["digits", "network.channels=4", "network.multipliers=[1]", "network.blocks=1"]
    quiet = ["train.evaluate_every=0", "train.sample_every=0", "train.keep=1"]
    run = train(tmp_path / "run", [*words, *quiet, "network.attention=[]"])
    said = good("compress", run, "--test", 3, "-o", "a.und", "--method", "universal", "--no-bound")
    assert "at step 6" in said and "pinned" in said
    pinned, first = run / "pinned" / "step-00000006", run / "checkpoints" / "step-00000006"
    assert all((pinned / path.name).samefile(path) for path in first.iterdir())
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe.replace("steps: 6\n", "steps: 8\n"))
    good("train", "--resume", run)
    assert not first.exists() and load(run).step == 8
    good("decompress", run, "a.und", "-o", "back")
    assert np.array_equal(np.load("back/data.npy"), load_data(load(run).recipe).test[:3].numpy())
    good("compress", run, "--test", 3, "-o", "b.und", "--method", "universal", "--no-bound")
    assert tree(run / "pinned") >= {"step-00000006", "step-00000008"}
    for path in pinned.iterdir():
        path.unlink()
    assert "another model" in refused("decompress", run, "a.und", "-o", "gone")


def test_the_entropy_coder_is_looked_for_first(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    for words in (
        ["compress", "nowhere"],
        ["decompress", "nowhere", "x.und"],
        ["rate-distortion", "nowhere"],
    ):
        assert "pip install 'constriction>=" in refused(*words)
