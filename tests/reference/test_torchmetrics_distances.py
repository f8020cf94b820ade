"""Fréchet and kernel distance against torchmetrics, an independent implementation, on features of our own."""

import pytest
import torch
from torch import nn

from oracles import normals
from undiffuse.metrics import frechet, kernel_distance, mmd2

fid = pytest.importorskip("torchmetrics.image.fid", reason="needs torchmetrics")
kid = pytest.importorskip("torchmetrics.image.kid", reason="needs torchmetrics")


class Given(nn.Module):
    """Features that are the input."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.num_features = dims
        self.register_buffer("nothing", torch.zeros(1))

    def forward(self, x):
        return x.flatten(1)


def fed(metric, x, y):
    """The metric after the data y, in two batches, and the samples x."""
    for rows in y.split(len(y) // 2 + 1):
        metric.update(rows[:, :, None, None], real=True)
    metric.update(x[:, :, None, None], real=False)
    return metric.compute()


@pytest.mark.parametrize(("count", "dims"), [(50, 3), (200, 16)])
def test_frechet(count, dims):
    x = normals(count, dims, seed=1) @ normals(dims, dims, seed=2)
    y = normals(count + 9, dims, seed=3) + 0.5
    metric = fid.FrechetInceptionDistance(Given(dims), normalize=True, input_img_size=(dims, 1, 1))
    theirs = fed(metric.set_dtype(torch.float64), x, y)
    assert frechet(x, y).mean == pytest.approx(float(theirs), rel=1e-8)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_kernel_distance():
    x, y = normals(60, 8, seed=1), normals(60, 8, seed=2) + 0.5
    metric = kid.KernelInceptionDistance(Given(8), subsets=2, subset_size=60, normalize=True)
    theirs, _ = fed(metric, x, y)  # every subset is the whole set
    assert mmd2(x, y) == pytest.approx(float(theirs), rel=1e-5)
    ours = kernel_distance(x, y, generator=torch.Generator().manual_seed(0), size=30)
    assert abs(ours.mean - float(theirs)) < 4 * max(ours.se, 0.05)
