"""A file decodes where arithmetic differs in its last digits, and is refused where it differs by more."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from golden import models
from undiffuse import codec
from undiffuse.codec import rounding
from undiffuse.codec.rounding import EDGE, Follower, Recorder
from undiffuse.mixed import MixedDenoiser
from undiffuse.model import Denoiser

NAMES = pytest.mark.parametrize("name", models.GOLDEN)
OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
ELSEWHERE = {  # and which files to read there; benchmarks/codec_portable.py has every pair
    "old": (OLD, list(models.GOLDEN)),
    "threads": ({"OMP_NUM_THREADS": "2"}, ["universal-unet", "bits"]),
}
READ = """
import sys
import torch
from golden import models
from undiffuse import codec
for name in sys.argv[2:]:
    case = models.GOLDEN[name]
    data = open(f"{sys.argv[1]}/{name}.und", "rb").read()
    assert models.same(codec.decompress(case.model(), data, grid=models.GRID), case.x), name
print("read", len(sys.argv) - 2, torch.get_num_threads(), torch.backends.cpu.get_cpu_capability())
"""


@NAMES
def test_golden_files_decode(name):
    case = models.GOLDEN[name]
    for path in sorted(Path(models.__file__).parent.glob(f"v*/{name}.und")):
        assert models.same(codec.decompress(case.model(), path.read_bytes(), grid=models.GRID), case.x), path


def test_golden_files_are_there_and_small():
    found = sorted(models.FOLDER.glob("*.und"))
    assert {path.stem for path in found} == set(models.GOLDEN)
    assert sum(path.stat().st_size for path in found) < 100_000


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The golden files, made here and now."""
    folder = tmp_path_factory.mktemp("written")
    for name in models.GOLDEN:
        (folder / f"{name}.und").write_bytes(models.encode(name))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("where", ELSEWHERE)
def test_files_decode_on_other_instruction_sets(where, written):
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), *filter(None, sys.path)])
    settings, names = ELSEWHERE[where]
    surroundings = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths} | settings
    done = subprocess.run(
        [sys.executable, "-c", READ, written, *names],
        capture_output=True,
        text=True,
        env=surroundings,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:2] == ["read", str(len(names))]
    assert words[2] == surroundings["OMP_NUM_THREADS"]
    assert where != "old" or words[3].lower() == "default"


def off(out: torch.Tensor, by: float) -> torch.Tensor:
    """A network's output as other arithmetic has it."""
    return out * (1 + by * torch.cos(1e3 * torch.arange(out.numel()).view(out.shape)))


def elsewhere(name: str, by: float, monkeypatch) -> torch.Tensor:
    """What a machine reads whose networks' outputs are off by so much."""
    case, output = models.GOLDEN[name], Denoiser.output

    def other(self, x, t):
        out, raw = output(self, x, t)
        return off(out, by), raw

    def looked(self, *arguments):
        found = look(self, *arguments)
        return found._replace(out=off(found.out, by))

    data, look = models.encode(name), MixedDenoiser._look
    monkeypatch.setattr(Denoiser, "output", other)
    monkeypatch.setattr(MixedDenoiser, "_look", looked)
    return codec.decompress(case.model(), data, grid=models.GRID)


@NAMES
def test_the_last_digits_do_not_matter(name, monkeypatch):
    assert models.same(elsewhere(name, 1e-12, monkeypatch), models.GOLDEN[name].x)


@NAMES
@pytest.mark.parametrize("by", [1e-5, 1e-3])
def test_more_is_refused_and_never_wrong(name, by, monkeypatch):
    if by == 1e-3 and name.startswith(("lossless", "universal")):
        with pytest.raises(ValueError, match=r"arithmetic|damaged|words|numbers"):
            elsewhere(name, by, monkeypatch)
        return
    try:
        found = elsewhere(name, by, monkeypatch)
    except ValueError:
        return
    assert models.same(found, models.GOLDEN[name].x)


@pytest.mark.parametrize("error", [1e-9, -1e-9])
def test_close_calls_go_where_the_encoder_went(error):
    """Numbers at an edge, just on its one side here and on its other there."""
    y = np.arange(2000) + 0.5 + 1e-10 * np.where(np.arange(2000) % 2, 1, -1)
    here = Recorder()
    rounded = here(y, 7)
    assert len(here.sides[7]) == 2000
    assert np.array_equal(Follower(here.sides)(y + error, 7), rounded)
    assert not np.array_equal(np.rint(y + error), rounded)  # without the sides it goes wrong
    far = Recorder()
    assert np.array_equal(far(np.arange(9) + 0.4, 1), np.arange(9.0)) and not far.sides


def test_numbers_that_are_not_close_here_are_refused():
    here = Recorder()
    here(np.array([0.5, 3.0]), 2)
    with pytest.raises(ValueError, match="not those"):
        Follower(here.sides)(np.array([0.5 + 3 * EDGE, 3.0]), 2)
    with pytest.raises(ValueError, match="not those"):
        Follower({2: {5: True}})(np.array([0.5, 3.0]), 2)
    for bad in (np.nan, np.inf, -np.inf, 2.0**41):
        with pytest.raises(FloatingPointError, match="not finite"):
            Recorder()(np.array([bad]), 0)


def test_positive_numbers_keep_ten_digits():
    y = 10.0 ** np.linspace(-300, 11, 4001)
    found = Recorder().positive(y, 0)
    assert np.abs(found / y - 1).max() <= 2**-10
    assert Recorder().positive(np.array([0.0]), 0) == 0
    assert np.array_equal(Recorder().positive(found, 0), found)


def test_an_edge_in_a_real_file(monkeypatch):
    """With a wide edge there are many close calls in a file; the decoder needs every one."""
    monkeypatch.setattr(rounding, "EDGE", 0.01)
    data = models.encode("lossless-unet")
    assert codec.account(data).calls > 1000
    case = models.GOLDEN["lossless-unet"]
    assert torch.equal(codec.decompress(case.model(), data, grid=models.GRID), case.x)
    assert torch.equal(elsewhere("lossless-unet", 1e-6, monkeypatch), case.x)
