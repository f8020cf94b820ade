import numpy as np
import pytest
import torch

from undiffuse.plots.arrays import line, numpy, pictures, points


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_precision_with_gradients_become_arrays(dtype: torch.dtype) -> None:
    values = torch.tensor([0.5, -2.0], dtype=dtype, requires_grad=True)
    assert numpy(values).tolist() == [0.5, -2.0]


def test_pictures_accept_tensors_and_add_the_channel() -> None:
    assert pictures(torch.zeros(2, 5, 4, dtype=torch.uint8)).shape == (2, 1, 5, 4)
    assert pictures(np.zeros((2, 3, 5, 4), np.uint8)).shape == (2, 3, 5, 4)


@pytest.mark.parametrize(
    ("images", "value", "remedy"),
    [
        (np.zeros((2, 4, 4)), "float64", "raw data"),
        (torch.zeros(2, 4, 4), "float32", "raw data"),
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)", r"images\[None\]"),
        (np.zeros((1, 1, 1, 4, 4), np.uint8), r"\(1, 1, 1, 4, 4\)", r"\(N, C, H, W\)"),
        (np.zeros((0, 1, 4, 4), np.uint8), r"\(0, 1, 4, 4\)", "at least one"),
        (np.zeros((3, 1, 0, 4), np.uint8), r"\(3, 1, 0, 4\)", "at least one"),
    ],
)
def test_pictures_refuse_with_name_value_and_remedy(images: np.ndarray, value: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=f"batch.*{value}.*{remedy}"):
        pictures(images, "batch")


def test_points_leave_out_what_is_not_finite() -> None:
    x = [[0, 1], [np.nan, 1], [2, np.inf], [3, 4]]
    assert points(x, "x").tolist() == [[0, 1], [3, 4]]
    assert len(points(x, "x", keep=True)) == 4


@pytest.mark.parametrize("shape", [(4, 3), (4,), (0, 2), (2, 2, 2)])
def test_points_refuse_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"forward\[1\] has shape .*x\[:, :2\]"):
        points(np.zeros(shape), "forward[1]")


def test_lines_keep_infinities_and_check_the_length() -> None:
    assert line(torch.tensor([1, float("inf")]), "logsnr", 2)[1] == np.inf
    with pytest.raises(ValueError, match="logsnr has 2 values, t has 3"):
        line([0, 1], "logsnr", 3)
    with pytest.raises(ValueError, match=r"t has shape \(1, 2\)"):
        line([[0, 1]], "t")
    with pytest.raises(ValueError, match=r"t has shape \(0,\)"):
        line([], "t")
