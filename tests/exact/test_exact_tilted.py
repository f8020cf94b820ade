"""Products on independent symbols against enumeration over all states (as in O8 of the notes)."""

import pytest
import torch

from enumeration import (
    BIT_FACTORS,
    BITS,
    CUBE,
    SYMBOL_FACTORS,
    SYMBOLS,
    TRIPLES,
    N,
    built,
    cube,
    dirichlet,
    enumerated,
    independent,
    table,
    weighed,
)
from oracles import f64
from undiffuse.posteriors import (
    Known,
    LogDensity,
    Tilted,
)
from undiffuse.schedules import grids


@pytest.mark.parametrize("kernel", BITS.values(), ids=BITS)
@pytest.mark.parametrize("name", BIT_FACTORS)
@pytest.mark.parametrize("steps", [1, 4])
def test_independent_bits_are_exact(kernel, name: str, steps: int):
    """For every number of steps; and E[r | x_t] and E[x_0 | x_t, r] are those of enumeration."""
    factor, grid = BIT_FACTORS[name], grids.uniform(steps)
    one = torch.linspace(0.1, 0.8, N).double()
    law = independent(CUBE, torch.stack([1 - one, one], 1))
    model = built(kernel, CUBE, law)
    product = model * factor
    assert isinstance(product, Tilted)
    exact, log_z = weighed(factor, CUBE, enumerated(model, CUBE, CUBE, grid))
    torch.testing.assert_close(exact, weighed(factor, CUBE, law)[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(enumerated(product, CUBE, CUBE, grid), exact, rtol=0, atol=1e-10)
    x_t = CUBE[::97]
    for t in grid:
        shares = model.network.posterior(x_t, t.expand(1))
        each = [weighed(factor, CUBE, share) for share in shares]
        expected = torch.stack([e[0] for e in each]) @ CUBE
        torch.testing.assert_close(product.predict(x_t, t), expected, rtol=0, atol=1e-10)
        if not name.startswith("linear"):  # whose normaliser is log r at the mean
            found = product.look(x_t, t, t / 2).log_r()
            torch.testing.assert_close(found, f64([e[1] for e in each]), rtol=0, atol=1e-10)
    assert log_z <= 1 or name not in ("known", "all")


@pytest.mark.parametrize("kernel", SYMBOLS.values(), ids=SYMBOLS)
@pytest.mark.parametrize("name", SYMBOL_FACTORS)
@pytest.mark.parametrize("steps", [1, 4])
def test_independent_symbols_are_exact(kernel, name: str, steps: int):
    factor, grid = SYMBOL_FACTORS[name], grids.uniform(steps)
    law = independent(TRIPLES, f64([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]))
    model, every = built(kernel, TRIPLES, law), cube(3, kernel.channels)
    exact, _ = weighed(factor, TRIPLES, law)
    torch.testing.assert_close(enumerated(model * factor, every, TRIPLES, grid), exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kernel", [BITS["few"], *SYMBOLS.values()], ids=["bits", *SYMBOLS])
@pytest.mark.parametrize("one", ["log r = 0", "none known"])
def test_a_factor_of_one_is_the_identity(kernel, one: str):
    states = cube(3, kernel.symbols)
    model = built(kernel, states, dirichlet(len(states)))
    nothing = Known(states[0], torch.zeros(3).bool())
    product = Tilted(model, nothing if one == "none known" else LogDensity(lambda x: 0 * x.sum(1)))
    x_t, t, s = states[::3], f64(0.7), f64(0.4)
    for found, base in (
        (product.step(x_t, t, s), model.step(x_t, t, s)),
        (product.decode(x_t, t), model.decode(x_t, t)),
        (product.prior(x_t), model.prior(x_t)),
    ):
        torch.testing.assert_close(table(found, states), table(base, states), rtol=0, atol=1e-12)
    torch.testing.assert_close(product.predict(x_t, t), model.predict(x_t, t), rtol=0, atol=1e-12)
