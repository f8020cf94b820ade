"""Files of tables: what levels cost by halving, whole files beside the bound, and the order of the stack."""

import math

import numpy as np
import pytest
import torch
from test_exact_tables import BASE, COUNTS, RAW, Zeros, encoded
from torch import Tensor

from oracles import f64, normals
from undiffuse import codec
from undiffuse.bases import fit_columns
from undiffuse.bounds import nelbo
from undiffuse.codec import lossless
from undiffuse.codec.chain import data_rows
from undiffuse.codec.coder import Stack
from undiffuse.codec.columns import HOLE, ColumnLevels, RowNumbers, holes_in, packed_holes, whole
from undiffuse.codec.rounding import Follower, Recorder
from undiffuse.distributions import Normal, Scored
from undiffuse.kernels import Mixed
from undiffuse.marginals import Marginals
from undiffuse.mixed import MixedDenoiser
from undiffuse.random import Streams
from undiffuse.schedules import LogLinear

STEPS, KEPT = [0.01, 1.0], [1, 2, 3, 4]  # of the table: all but the continuous column
PLACES = (100, 150, 200, 260, 320, 400, 499)


def model(kept: list[int]) -> MixedDenoiser:
    """Of these of the table's columns."""
    raw, counts = RAW[:, kept], [COUNTS[i] for i in kept]
    numbers = [i for i, count in enumerate(counts) if not count]
    maps = Marginals.fit(raw[:, numbers], STEPS[: len(numbers)])
    x_0 = raw.clone()
    x_0[:, numbers] = maps.encode(raw[:, numbers])
    base = fit_columns(x_0.float(), counts, maps)
    return MixedDenoiser(Zeros(), Mixed(LogLinear(9, -6), counts), base)


MODEL = model(KEPT)
MAPS = MODEL.base.marginals


def rows(n: int, holes: float = 0.0) -> Tensor:
    """Whole numbers, as they are coded."""
    found = RAW[:n, KEPT].clone()
    found[:, [0, 3]] = ((found[:, [0, 3]] - MAPS.lows) / MAPS.steps).round()
    random = torch.Generator().manual_seed(1)
    return found.masked_fill(torch.rand(found.shape, generator=random) < holes, math.nan)


def test_levels_cost_what_their_law_says():
    """And come back, however far they are."""
    alphabet, n = ColumnLevels(MAPS), 300
    numbers, var = whole(rows(n))[:, [0, 3]], 0.01 + normals(n, 2, seed=1).square()
    loc = torch.from_numpy(alphabet.values(numbers)) + var.sqrt() * normals(n, 2)
    numbers[0], numbers[1] = alphabet.ends
    law = Scored(Normal(loc, var), MAPS)
    stack, recorder = Stack(np.zeros(0, np.uint32), 4), Recorder()
    stack.push(alphabet.law(law, recorder, 0), numbers.ravel())
    words, spare = stack.words()
    near = slice(2, n)  # of the farthest the coder gives more than their law
    expected = -float(law.log_prob(torch.from_numpy(alphabet.values(numbers)))[near].sum()) / math.log(2)
    taken = 32 * (len(words) - 4 + spare)
    assert expected < taken < expected + 4 * 14 * 24 + 64  # 24 bits for each of their bits, at most
    back = Stack(words, spare)
    again = back.pop(alphabet.law(law, Follower(recorder.sides), 0))
    assert np.array_equal(again.reshape(n, 2), numbers) and back.restored()


def test_halves_add_up_to_one():
    """Of one element: the shares of all its levels, each by its bits."""
    alphabet = ColumnLevels(MAPS)
    law = Scored(Normal(f64(0.3, -0.2).view(1, 2), f64(0.5, 1.5).view(1, 2)), MAPS)
    low, high = (int(end[1]) for end in alphabet.ends)
    total = 0.0
    for n in range(low, high + 1):
        of = alphabet.law(law, Recorder(), 0).only(np.array([1]))
        one = [(piece.parameters[0][0], bits[0]) for piece, bits in of.pieces(np.array([n]))]
        share = math.prod(p if bit else 1 - p for p, bit in one)
        middle = low < n < high
        exact = law.log_prob(torch.from_numpy(alphabet.values(np.array([[0, n]]))))[0, 1].exp()
        assert not middle or share == pytest.approx(float(exact), rel=2e-2, abs=1e-7)
        total += share
    assert total == pytest.approx(1, abs=1e-9)


def test_symbols_alone():
    x, of = rows(60, 0.2)[:, [1, 2]], model([2, 3])
    data = codec.compress(of, x, plan=codec.Plan(500, PLACES), grid=torch.arange(1, 501).double() / 500)
    again = codec.decompress(of, data, grid=torch.arange(1, 501).double() / 500)
    assert torch.equal(again.nan_to_num(-1.0), x.nan_to_num(-1.0))


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_files_take_the_bound_and_come_back(holes):
    x = rows(600, holes)
    plan = codec.Plan(500, PLACES)
    data = codec.compress(MODEL, x, plan=plan, grid=torch.arange(1, 501).double() / 500)
    again = codec.decompress(MODEL, data, grid=torch.arange(1, 501).double() / 500)
    assert torch.equal(again.nan_to_num(-1.0), x.nan_to_num(-1.0)) and again.dtype == torch.float64
    grid = plan.grid(torch.arange(1, 501).double() / 500)
    x_0 = RowNumbers(data_rows(MODEL)).encode(x)
    totals = torch.stack(
        [
            nelbo(MODEL, x_0, grid=grid, generator=Streams(seed, rows=range(len(x)))).total.sum()
            / math.log(2)
            for seed in range(12)
        ]
    )
    found = codec.account(data)
    assert abs(found.data - float(totals.mean())) < 5 * float(totals.std()) + 64
    assert float(totals.std()) < 0.02 * found.data


@pytest.mark.parametrize("kept", [KEPT, [1, 4]], ids=["all", "numbers"])
def test_what_is_drawn_is_in_the_opposite_order(kept, monkeypatch):
    """Row by row nothing is lost: noise that went with what was written before cost a bit a step."""
    x, of = rows(120)[:, [KEPT.index(i) for i in kept]], model(kept)
    plan = codec.Plan(500, (*range(60, 500, 30), 499))
    sizes = {}
    for size in (1, 120):
        monkeypatch.setattr(
            lossless, "_groups", lambda n, _, size=size: iter([slice(i, i + size) for i in range(0, n, size)])
        )
        data = codec.compress(of, x, plan=plan, grid=torch.arange(1, 501).double() / 500)
        sizes[size] = codec.account(data).data
    assert abs(sizes[1] - sizes[120]) < 0.03 * sizes[120] + 64


def test_holes_and_what_is_no_list_of_them():
    numbers = whole(rows(50, 0.2))
    packed = packed_holes(numbers)
    assert np.array_equal(holes_in(packed, numbers.shape), numbers == HOLE)
    assert packed_holes(whole(rows(50))) == b"" and holes_in(b"", (50, 4)) is None
    for bad in (packed[:-3], b"nonsense", packed_holes(whole(rows(60, 0.2)))):
        with pytest.raises(ValueError, match="list of holes"):
            holes_in(bad, numbers.shape)


def test_what_cannot_be_coded_is_refused():
    continuous = MixedDenoiser(Zeros(), Mixed(LogLinear(9, -6), COUNTS), BASE)
    with pytest.raises(ValueError, match="continuous numbers"):
        codec.compress(continuous, encoded(RAW[:3]).double())
    far = rows(3)
    far[1, 0] = 1e7
    with pytest.raises(ValueError, match=r"row 1, column 0: .* too far beyond"):
        codec.compress(MODEL, far)
    with pytest.raises(ValueError, match="keeps its holes"):
        codec.compress(MODEL, rows(3), extra=b"x")
