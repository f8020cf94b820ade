"""Laws of randomness: draws depend on what they are for, and on nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oracles import normals
from undiffuse.distributions import Bernoulli
from undiffuse.philox import philox, uniforms
from undiffuse.random import AHEAD, Batch, Streams, digest, keyed, normal, root, uniform
from undiffuse.tensors import cpu_block, dims, like, total

DRAW = {"normal": normal, "uniform": uniform}


@given(
    begin=st.integers(0, 1000),
    rows=st.integers(1, 9),
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=4),
    kinds=st.lists(st.sampled_from(sorted(DRAW)), min_size=4, max_size=4),
)
def test_a_row_is_the_same_in_any_batch(begin, rows, sizes, kinds):
    """Also for draws of several kinds and sizes in turn, longer and shorter than what is drawn ahead."""
    among = Streams("key", 3, rows=range(begin, begin + rows))
    alone = Streams("key", 3, rows=range(begin + rows - 1, begin + rows))
    for size, kind in zip(sizes, kinds, strict=False):
        a, b = DRAW[kind]((rows, size), among), DRAW[kind]((1, size), alone)
        assert torch.equal(a[-1], b[0])


def test_a_stream_never_repeats_itself():
    streams = Streams(0, rows=range(2))
    draws = torch.cat([normal((2, size), streams) for size in [1] * 3000 + [700] * 9 + [5] * 999], 1)
    values = draws.flatten()
    assert len(values.unique()) == len(values)


@pytest.mark.parametrize("kind", sorted(DRAW))
def test_draws_have_their_law(kind):
    cdf = stats.norm.cdf if kind == "normal" else stats.uniform.cdf
    for generator, shape in ((Streams(1, rows=range(64)), (64, 500)), (keyed(1), (32_000,))):
        draws = DRAW[kind](shape, generator)
        assert draws.dtype == torch.float64 and draws.shape == shape
        assert stats.kstest(draws.flatten().numpy(), cdf).pvalue > 1e-4
    if kind == "uniform":
        assert draws.min() >= 0 and draws.max() < 1


def test_streams_of_other_rows_and_other_keys_are_independent():
    n, count = 20_000, 6
    keys = [(0,), (1,), (0, "a"), ("a", 0), ("0",), (0, 0)]
    streams = [normal((1, n), Streams(*key, rows=range(1)))[0] for key in keys]
    rows = list(normal((count, n), Streams(9, rows=range(count))))
    plain = [normal((n,), keyed(*key)) for key in keys]
    correlation = np.corrcoef(torch.stack(streams + rows + plain).numpy())
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 5 / n**0.5


def test_no_two_keys_are_equal():
    keys = {digest(seed, word, i) for seed in range(10) for word in "abcd" for i in range(2500)}
    keys |= {digest(str(i)) for i in range(100)} | {digest(i) for i in range(100)}
    assert len(keys) == 100_200
    assert digest("a", "b") != digest("ab") and digest(1, 23) != digest(12, 3)
    assert digest(1) != digest("1") and max(keys) >= 2**120


def test_the_streams_never_change():
    """Pinned: published samples and bounds repeat only as long as these do."""
    row = normal((1, 3), Streams(0, "demo", rows=range(7, 8)))
    assert row[0].tolist() == pytest.approx(PINNED, abs=1e-14)
    assert digest(0, "noise", 1) == DIGEST


PINNED = [0.33506458107821335, -0.49716944908748456, 1.0055636102156094]
DIGEST = 72840026428558927157392873834857834786


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_draws_are_rounded_not_redrawn(dtype):
    """Those of a generator from float64, those of rows from float32, with whose words float64 begins."""
    for kind in DRAW.values():
        exact = kind((4, 9), keyed(2))
        assert torch.equal(kind((4, 9), keyed(2), dtype), exact.to(dtype))
        single, other, double = (
            kind((4, 9), Streams(2, rows=range(4)), each) for each in (torch.float32, dtype, torch.float64)
        )
        assert (single - double).abs().max() < 3e-5
        assert torch.equal(other, double if dtype == torch.float64 else single.to(dtype))


class Topmost(Streams):
    def draw(self, kind, shape, dtype, device) -> torch.Tensor:
        return torch.full(shape, 1 - 2.0**-53, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_uniform_number_stays_below_one(dtype):
    """In every precision: what is certain happens, and what is impossible does not."""
    u = uniform((1, 1), Topmost(rows=range(1)), dtype)
    assert u.item() == 1 - torch.finfo(dtype).eps / 2 < 1
    sure = Bernoulli(torch.ones(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=dtype))
    assert sure.sample(Topmost(rows=range(1))).item() == 1


ORDERS = [(2, 5), (1, 40), (3, 900), (64, 2048), (5, 20_000)]


@pytest.mark.parametrize(("rows", "size"), ORDERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_number_has_a_counter_of_its_own(rows, size, dtype):
    """(block, call, low and high half of the row), whatever is drawn with it, ahead of it, or in parts."""
    begin, key = 2**40 + 3, digest("key", 1) % 2**64
    streams = Streams("key", 1, rows=range(begin, begin + rows))
    for call in range(5):
        drawn = uniform((rows, size), streams, dtype)
        for row in {0, rows - 1}:
            blocks, number = np.arange(-(-size // 4)), begin + row

            def words(call, blocks=blocks, number=number):
                rest = [np.full_like(blocks, n) for n in (call, number % 2**32, number // 2**32)]
                found = np.stack([blocks, *rest])
                philox(found, key)
                return found

            expected = np.empty((4, len(blocks)), "f8" if dtype == torch.float64 else "f4")
            uniforms(np, words(call), words(call + 2**31) if dtype == torch.float64 else None, expected)
            assert drawn[row].tolist() == expected.flatten()[:size].tolist()


CALLED = st.lists(
    st.tuples(st.sampled_from(sorted(DRAW)), st.sampled_from([1, 3, 40])), min_size=1, max_size=40
)


@given(calls=CALLED, pattern=st.integers(1, 4))
def test_a_call_draws_the_same_whatever_is_drawn_ahead(calls, pattern):
    """In any order of kinds and sizes, some of which repeat: as if it were the only one."""
    calls = calls[:pattern] * 6 + calls
    streams = Streams("ahead", rows=range(2))
    for number, (kind, size) in enumerate(calls):
        alone = Streams("ahead", rows=range(2)).at(
            number, kind, (2, size), torch.float64, torch.device("cpu")
        )
        assert torch.equal(DRAW[kind]((2, size), streams), alone)


def test_small_draws_are_made_ahead(monkeypatch):
    """The hundred operations of one serve many; there are never more numbers in stock than are said."""
    filled = []
    fill = Streams._fill
    monkeypatch.setattr(
        Streams, "_fill", lambda self, calls, *a: filled.append(len(calls)) or fill(self, calls, *a)
    )
    streams = Streams(0, rows=range(16))
    for _ in range(1000):
        normal((16, 10), streams)
        uniform((16,), streams)
    assert len(filled) < 30 and max(filled) <= AHEAD // 16
    filled.clear()
    batch = Batch(0, rows=range(16), size=16)
    for step in range(1000):
        normal((16, 10), batch.at(step))
    assert len(filled) < 20 and max(filled) > 100
    filled.clear()
    normal((16, 10), batch.at(1500))  # later, and back again
    normal((16, 10), batch.at(3))
    assert filled[-1] == 1


@pytest.mark.parametrize("size", [10, 12, 50_000])
def test_a_step_is_drawn_again_as_it_was(size):
    """Whoever had the numbers may have written over them; a few at a time or ahead."""
    batch = Batch(0, rows=range(3), size=3)
    drawn = [normal((3, size), batch.at(step)) for step in range(9)]
    kept = [x.clone() for x in drawn]
    for step in (8, 7, 8, 0):
        drawn[step].zero_()
        assert torch.equal(normal((3, size), batch.at(step)), kept[step])


@pytest.mark.parametrize("kind", sorted(DRAW))
def test_rows_steps_calls_and_purposes_do_not_know_of_each_other(kind):
    """Correlations of numbers, and of their squares, at the same place in neighbouring streams."""
    n = 50_000
    drawn = [DRAW[kind]((3, n), Streams("a", rows=range(3)), torch.float32)]
    calls = Streams("a", rows=range(1))
    drawn += [DRAW[kind]((1, n), calls, torch.float32) for _ in range(3)][1:]
    drawn += [DRAW[kind]((1, n), Streams(name, rows=[2**32]), torch.float32) for name in ("a", "b")]
    batch = Batch("a", rows=range(1), size=1)
    drawn += [DRAW[kind]((1, n), batch.at(step), torch.float32) for step in (1, 2)]
    x = torch.cat(drawn).double()
    lagged = torch.cat([x, x[:1].roll(1, 1), x[:1].roll(4, 1), x[:1].roll(n // 4, 1)])
    for values in (lagged, (lagged - lagged.mean()).square()):
        correlation = torch.corrcoef(values) - torch.eye(len(values))
        assert correlation.abs().max() < 5 / n**0.5


def test_normal_moments_and_tails():
    """Of four million numbers: moments to the eighth, the shares beyond 1 to 5, within five errors."""
    x = normal((64, 2**16), Streams("law", rows=range(64)), torch.float32).double().flatten()
    n = len(x)
    for power, mean, square in (
        (1, 0, 1),
        (2, 1, 3),
        (3, 0, 15),
        (4, 3, 105),
        (6, 15, 10_395),
        (8, 105, 2_027_025),
    ):
        assert abs(x.pow(power).mean() - mean) < 5 * ((square - mean**2) / n) ** 0.5
    for edge in range(1, 6):
        share = stats.norm.sf(edge)
        for found in ((x > edge), (x < -edge)):
            assert abs(int(found.sum()) - n * share) < 5 * (n * share) ** 0.5 + 1
    pairs = x.view(64, 4, -1)  # both numbers of a pair, at the same radius
    for a, b in ((pairs[:, 0], pairs[:, 1]), (pairs[:, 2], pairs[:, 3])):
        assert abs((a.square() * b.square()).mean() - 1) < 5 * (8 / a.numel()) ** 0.5


def test_what_was_drawn_stays_as_it_was():
    streams = Streams(4, rows=range(2))
    first = normal((2, 5), streams)
    copy = first.clone()
    normal((2, 5), streams)
    assert torch.equal(first, copy)


def test_streams_fill_their_own_batch_only():
    assert len(Streams(0, rows=range(3))) == 3
    with pytest.raises(ValueError, match="3 random streams"):
        normal((4, 2), Streams(0, rows=range(3)))


def test_roots_of_one_generator_differ():
    generator = keyed("root")
    roots = {root(generator) for _ in range(1000)}
    assert len(roots) == 1000 and all(0 <= r < 2**62 for r in roots)
    assert root(keyed("root")) == root(keyed("root"))


def test_coefficients_meet_data():
    x = torch.zeros(2, 3, 4, dtype=torch.float32)
    one, rows = like(torch.tensor(0.5).double(), x), like(torch.tensor([0.5, 0.7]).double(), x)
    assert one.shape == () and rows.shape == (2, 1, 1)
    assert (one * x).dtype == (rows * x).dtype == torch.float32
    assert (x + rows)[1, 2, 3].item() == pytest.approx(0.7)


def test_totals_are_per_example_and_in_float64():
    x = normals(3, 4, 5).float()
    assert total(x).dtype == torch.float64 and total(x).shape == (3,)
    torch.testing.assert_close(total(x), x.double().sum((1, 2)))


@given(st.lists(st.integers(1, 300), min_size=0, max_size=3))
def test_cpu_blocks_are_powers_of_two_near_4096_values(shape):
    size = cpu_block(tuple(shape))
    assert size & (size - 1) == 0 and 8 <= size <= 1024
    if 8 < size < 1024:
        assert 2048 < size * dims(tuple(shape)) <= 4096


def test_no_two_rows_of_a_batch_draw_the_same():
    """Not even those of other blocks that are drawn together."""
    drawn = normal((1500, 3), Batch(0, "rows", rows=range(1500), size=1500))
    assert len(drawn.unique()) == drawn.numel()
