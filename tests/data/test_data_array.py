import numpy as np
import pytest
import torch

from undiffuse.data import Array
from undiffuse.data.source import split

RNG = np.random.default_rng(0)


def load(tmp_path, array, **kwargs):
    np.save(tmp_path / "a.npy", array)
    return Array(tmp_path / "a.npy", **kwargs).load()


def test_vectors(tmp_path):
    x = RNG.normal(size=(20, 3))
    splits = load(tmp_path, x, test=0.25)
    train, test = split(20, 0.25)
    assert splits.levels is None and splits.shape == (3,) and splits.train.dtype == torch.float64
    assert torch.equal(splits.train, torch.from_numpy(x)[train])
    assert torch.equal(splits.test, torch.from_numpy(x)[test])
    assert load(tmp_path, x.astype("f4")).train.dtype == torch.float32


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "|u1", ">u2"])
def test_byte_and_memory_order_do_not_matter(tmp_path, dtype, order):
    values = RNG.integers(0, 99, (6, 4, 5)) if "u" in dtype else RNG.normal(size=(6, 4, 5))
    x = np.asarray(values, dtype=dtype, order=order)
    splits = load(tmp_path, x)
    both = torch.cat((splits.test, splits.train)).double()
    test, train = reversed(split(6, 0.1))
    expected = torch.from_numpy(x.astype(np.float64))[torch.cat((test, train))]
    assert torch.equal(both.reshape(expected.shape), expected)


@pytest.mark.parametrize(
    ("shape", "dtype", "last", "expected", "levels"),
    [
        ((6, 5, 4), np.uint8, False, (1, 5, 4), 256),
        ((6, 5, 4), np.uint16, False, (1, 5, 4), 65536),
        ((6, 5, 4), np.bool_, False, (1, 5, 4), 2),
        ((6, 5, 4), np.float32, False, (5, 4), None),
        ((6, 5, 4), np.float32, True, (4, 5), None),
        ((6, 3, 5, 4), np.uint8, False, (3, 5, 4), 256),
        ((6, 5, 4, 3), np.uint8, True, (3, 5, 4), 256),
        ((6, 7), np.bool_, False, (7,), 2),
        ((6, 7), np.uint8, True, (7,), 256),
    ],
)
def test_shapes_and_levels(tmp_path, shape, dtype, last, expected, levels):
    values = RNG.integers(0, 2, shape) if levels else RNG.normal(size=shape)
    splits = load(tmp_path, values.astype(dtype), channels_last=last)
    assert splits.shape == expected and splits.levels == levels
    kinds = {None: torch.float32, 2: torch.uint8, 256: torch.uint8, 65536: torch.int32}
    assert splits.train.dtype == splits.test.dtype == kinds[levels]


def test_channels_last_moves_the_right_axis(tmp_path):
    x = RNG.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    splits = load(tmp_path, x, channels_last=True)
    train, _ = split(6, 0.1)
    assert torch.equal(splits.train, torch.from_numpy(x).permute(0, 3, 1, 2)[train])
    assert splits.train.is_contiguous()
    with pytest.raises(ValueError, match=r"data\.channels_last=true"):
        load(tmp_path, x)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.int32, np.uint8, np.float32, np.float64])
def test_levels_given(tmp_path, dtype):
    x = RNG.integers(0, 5, (10, 4)).astype(dtype)
    splits = load(tmp_path, x, levels=5)
    assert splits.levels == 5 and splits.train.dtype == torch.uint8
    assert torch.equal(splits.train.double(), torch.from_numpy(x)[split(10, 0.1)[0]].double())
    x[3, 2], x[7, 1] = 5, 9
    with pytest.raises(ValueError, match=r"2 value\(s\) .*first 5.* at index \(3, 2\)"):
        load(tmp_path, x, levels=5)


def test_many_levels(tmp_path):
    x = np.array([[0], [65535], [300]], np.int64)
    splits = load(tmp_path, x, levels=65536)
    assert splits.train.dtype == torch.int32
    assert sorted(torch.cat((splits.train, splits.test)).flatten().tolist()) == [0, 300, 65535]
    assert load(tmp_path, np.ones((3, 2), np.float16), levels=65536).levels == 65536


@pytest.mark.parametrize("bad", [-1.0, 0.5, np.nan, np.inf])
def test_floats_that_are_no_levels(tmp_path, bad):
    x = np.ones((5, 4), np.float32)
    x[2, 3] = bad
    with pytest.raises(ValueError, match=r"whole numbers 0\.\.16.*index \(2, 3\)"):
        load(tmp_path, x, levels=17)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_not_finite(tmp_path, bad):
    x = np.zeros((5, 4, 3))
    x[2, 1, 0] = x[4, 0, 0] = bad
    with pytest.raises(ValueError, match=r"a\.npy: 2 value\(s\) are not finite.*\(2, 1, 0\)"):
        load(tmp_path, x)


def test_the_index_is_the_one_in_the_file(tmp_path):
    x = np.zeros((5, 8, 8, 3))
    x[2, 1, 4, 0] = np.nan
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 0\).*remove or fill"):
        load(tmp_path, x, channels_last=True)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_integers_need_levels(tmp_path, dtype):
    with pytest.raises(ValueError, match=r"data\.levels=K"):
        load(tmp_path, np.zeros((5, 4), dtype))


@pytest.mark.parametrize("shape", [(5,), (5, 1, 1, 1, 2)])
def test_wrong_rank(tmp_path, shape):
    with pytest.raises(ValueError, match="reshape"):
        load(tmp_path, np.zeros(shape))


def test_too_few(tmp_path):
    with pytest.raises(ValueError, match="cannot be split"):
        load(tmp_path, np.zeros((1, 4)))


def npz(tmp_path, arrays, **kwargs):
    np.savez(tmp_path / "a.npz", **arrays)
    return Array(tmp_path / "a.npz", **kwargs).load()


@pytest.mark.parametrize("prefix", ["", "x_"])
def test_ready_made_splits(tmp_path, prefix):
    train, test = RNG.integers(0, 9, (6, 5, 4), dtype=np.uint8), np.ones((2, 5, 4), np.uint8)
    arrays = {f"{prefix}train": train, f"{prefix}test": test}
    splits = npz(tmp_path, arrays)
    assert torch.equal(splits.train[:, 0], torch.from_numpy(train)) and len(splits.test) == 2
    assert splits.train_labels is None
    labels = {"y_train": np.arange(6)[:, None], "y_test": np.array([True, False])}
    splits = npz(tmp_path, arrays | labels)
    assert splits.train_labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert splits.test_labels.tolist() == [1, 0] and splits.test_labels.dtype == torch.int64


def test_bad_ready_made_splits(tmp_path):
    train, test = np.zeros((6, 4)), np.zeros((2, 4), np.uint8)
    with pytest.raises(ValueError, match="test data 256"):
        npz(tmp_path, {"train": train, "test": test})
    with pytest.raises(ValueError, match="must agree"):
        npz(tmp_path, {"train": train, "test": np.zeros((2, 5))})
    with pytest.raises(ValueError, match="one label an example"):
        npz(tmp_path, {"train": train, "test": train, "y_train": np.zeros(5, int)})
    for labels in (np.zeros((6, 2, 2)), np.zeros((6, 10), int)):
        with pytest.raises(ValueError, match="labels are whole numbers"):
            npz(tmp_path, {"train": train, "test": train, "y_train": labels})


def test_one_array_or_a_key(tmp_path):
    assert npz(tmp_path, {"z": np.zeros((6, 4), "u1")}).shape == (4,)
    several = {"a": np.zeros((6, 4), "u1"), "b": np.zeros((6, 5), "u1")}
    assert npz(tmp_path, several, key="b").shape == (5,)
    with pytest.raises(ValueError, match=r"\('a', 'b'\).*data\.key=NAME"):
        npz(tmp_path, several)
    with pytest.raises(ValueError, match="no array 'c'"):
        npz(tmp_path, several, key="c")
    both = {"train": np.zeros((6, 4), "u1"), "test": np.zeros((6, 4), "u1")}
    assert len(npz(tmp_path, both, key="train", test=0.5).train) == 3


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"\.npy or \.npz"):
        Array("data.csv")
    with pytest.raises(ValueError, match="levels=1"):
        Array("a.npy", levels=1)
    with pytest.raises(ValueError, match=r"data\.test=0\.1"):
        Array("a.npy", test=0.0)
    with pytest.raises(FileNotFoundError, match=r"data\.path"):
        Array(tmp_path / "a.npy").load()


def test_ready_made_floats_of_two_types(tmp_path):
    splits = npz(tmp_path, {"train": RNG.normal(size=(6, 4)).astype("f4"), "test": RNG.normal(size=(6, 4))})
    assert splits.train.dtype == splits.test.dtype == torch.float64


@pytest.mark.parametrize(
    ("top", "dtype", "levels"),
    [(4090, "u2", 4096), (1000, "u2", 1024), (255, "u2", 256), (1, "u2", 2), (1, "u1", 2), (16, "u1", 17)],
)
def test_levels_that_would_do_are_told(tmp_path, top, dtype, levels):
    x = np.linspace(0, top, 3000).round().astype(dtype).reshape(300, 10)
    x[:, -1] = top  # whichever rows are for training
    (told,) = load(tmp_path, x).advice
    assert f"values 0 to {top:,}, of {np.iinfo(dtype).max + 1:,} levels: set data.levels={levels} " in told
    assert load(tmp_path, x, levels=levels).advice == ()


def test_levels_far_from_zero(tmp_path):
    x = RNG.integers(31_000, 33_000, (300, 10)).astype("u2")
    (told,) = load(tmp_path, x).advice
    assert f": subtract {x.min():,} and set data.levels=2048 " in told
    assert load(tmp_path, RNG.integers(0, 40_000, (300, 10)).astype("u2")).advice == ()
    assert load(tmp_path, RNG.integers(0, 200, (300, 10)).astype("u1")).advice == ()


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{1: 2}, None], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy holds Python objects, which are never unpickled"):
        Array(tmp_path / "a.npy").load()
