"""The benchmark of GPUs runs, small, where there is none, and finds the CPU to agree with itself."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "benchmarks/gpu.py"


@pytest.fixture(autouse=True)
def _as_it_was():
    precision, allowed = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = allowed


def test_it_runs_on_a_cpu(capsys):
    spec = importlib.util.spec_from_file_location("gpu_benchmark", PATH)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    words = ["digits", "--device", "cpu", "--precisions", "fp32", "tf32", "--seconds", "0.3", "--batch", "2"]
    rows = benchmark.main(words)
    assert [row.precision for row in rows] == ["fp32", "tf32"] and len(
        capsys.readouterr().out.splitlines()
    ) == 4
    for row in rows:
        assert row.steps_a_second > 0 < row.share < 2 and row.samples == row.bits == 0
    assert rows[0].gflops == pytest.approx(
        0.7365 / 4, rel=0.01
    )  # of a quarter of the batch it was counted for
