"""A transformer over a table's columns: each token is one column's, and what it says is of that column."""

from itertools import chain

import pytest
import torch
from torch import Tensor

from oracles import f64
from undiffuse.bases import fit_columns
from undiffuse.conditions import Given
from undiffuse.kernels import Mixed
from undiffuse.kernels.mixed import feature_places
from undiffuse.marginals import Marginals
from undiffuse.mixed import CELLS, MixedDenoiser
from undiffuse.networks import ColumnTransformer
from undiffuse.random import keyed
from undiffuse.schedules import LogLinear

COLUMNS = [0, 2, 3, 0, 7, 0, 3]
D = len(COLUMNS)
KERNEL = Mixed(LogLinear(9, -6), COLUMNS)
SHAPE = KERNEL.feature_shape((D,))


def rows(n: int, seed: int = 0) -> Tensor:
    """Of columns that do not go together."""
    random = keyed("rows", seed)
    each = [
        torch.randint(0, k, (n,), generator=random).double()
        if k
        else torch.randn(n, generator=random).double()
        for k in COLUMNS
    ]
    return torch.stack(each, 1)


def network(awake: bool = True, looks: bool = False, seed: int = 3) -> ColumnTransformer:
    """With weights where they begin at zero, in attention if it `looks`."""
    torch.manual_seed(seed)
    made = ColumnTransformer(SHAPE, hidden=16, layers=2, heads=2, columns=COLUMNS, dropout=0.0)
    if awake:
        made.out.data = torch.randn_like(made.out)
    if looks:
        for layer in made.layers:
            torch.nn.init.normal_(layer.mix.weight)
            torch.nn.init.normal_(layer.down.weight)
    return made.double().eval()


def model(of: ColumnTransformer) -> MixedDenoiser:
    x = rows(2000)
    numbers = [i for i, k in enumerate(COLUMNS) if not k]
    maps = Marginals.fit(x[:, numbers], [0.0] * len(numbers))
    base = fit_columns(x.float(), COLUMNS, maps)
    alone = type(base)(base.counts, torch.eye(len(base.corr)), base.inner, maps, list(base.symbols))
    return MixedDenoiser(of, KERNEL, alone)


def said(of: MixedDenoiser, x: Tensor, t: Tensor) -> list[Tensor]:
    """What is said of each column, (B, ..)."""
    law = of.decode(x, t)
    found = {}
    for part in law.parts:
        for j, column in enumerate(part.columns.tolist()):
            own = part.law
            if COLUMNS[column]:
                found[column] = own.logits.softmax(-1)[:, j]
            else:
                found[column] = torch.stack([own.law.loc[:, j], own.law.var[:, j]], 1)
    return [found[i] for i in range(D)]


def test_every_feature_is_one_columns():
    seen, told = feature_places(COLUMNS)
    assert sorted(chain.from_iterable(seen)) == list(range(SHAPE[0]))
    flat = list(chain.from_iterable(told))
    assert len(set(flat)) == len(flat) and max(flat) < 2 * SHAPE[0]


def test_what_is_known_of_a_cell_is_in_its_features():
    """Given a cell as it is, or without it: nothing but its own features is another."""
    of, x, t = model(network()), rows(4, 2), f64(0.4)
    seen, _ = feature_places(COLUMNS)

    def features(told: Tensor, x_t: Tensor) -> Tensor:
        made = of.told(Given({CELLS: told}))
        known = made.seen(x_t)
        return made._features(known, made.base.belief(known.cells, t, KERNEL), x_t, t)

    nothing = torch.full_like(x, torch.nan)
    before = features(nothing, x)
    for column in range(D):
        given, without = nothing.clone(), x.clone()
        given[:, column] = x[:, column]
        without[:, column] = torch.nan
        for after in (features(given, x), features(nothing, without)):
            moved = (after != before).any(0).nonzero()[:, 0].tolist()
            assert moved and set(moved) <= set(seen[column])


@pytest.mark.parametrize("looks", [False, True])
def test_what_a_column_says_is_of_itself_and_of_what_it_looks_at(looks):
    """Before it has learned to look a token knows its own column alone; then all of them."""
    of, x, t = model(network(looks=looks)), rows(6, 1), f64(0.4)
    before = said(of, x, t)
    for column in range(D):
        other = x.clone()
        other[:, column] = (other[:, column] + 1) % COLUMNS[column] if COLUMNS[column] else x[:, column] + 0.7
        after = said(of, other, t)
        moved = [bool((a - b).abs().max() > 1e-9) for a, b in zip(before, after, strict=True)]
        assert moved[column]
        assert moved == ([True] * D if looks else [i == column for i in range(D)])


def test_it_begins_at_the_base():
    of, t = model(network(awake=False, looks=True)), f64(0.3)
    assert not of.network(torch.randn(4, SHAPE[0]).double(), t.expand(4)).any()


def test_a_row_is_its_own_and_time_is_seen():
    of, x = network(looks=True), torch.randn(5, SHAPE[0], generator=keyed("x")).double()
    t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).double()
    together = of(x, t)
    for i in range(5):
        torch.testing.assert_close(of(x[i : i + 1], t[i : i + 1])[0], together[i], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(of(x, t.flip(0)), together)


def test_every_weight_counts():
    of, x = network(looks=True), torch.randn(5, SHAPE[0], generator=keyed("x")).double()
    of(x, torch.linspace(0.1, 0.9, 5).double()).square().sum().backward()
    for name, weight in of.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all() and weight.grad.any(), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": None}, "is for tables"),
        ({"hidden": 10, "heads": 4}, "heads divide"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ColumnTransformer(SHAPE, **({"columns": COLUMNS} | arguments))
