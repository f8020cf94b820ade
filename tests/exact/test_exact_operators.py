"""Linear operators, and the algebra that measurements need."""

import pytest
import torch
from torch import Tensor

from oracles import f64, normals
from undiffuse.posteriors import Known, Linear, LogDensity, Noisy
from undiffuse.posteriors.both import Stack
from undiffuse.posteriors.known import Kept
from undiffuse.posteriors.normals import conjugate_gradients, stable_root
from undiffuse.posteriors.operators import (
    Blur,
    Downsample,
    Function,
    Grey,
    Identity,
    Matrix,
    Operator,
    operator_of,
)

IMAGES = torch.Size((3, 8, 8))
N = IMAGES.numel()
OPERATORS = {
    "identity": Identity(),
    "downsample": Downsample(4),
    "blur": Blur(1.5),
    "narrow blur": Blur(0.2),
    "grey": Grey(),
    "matrix": Matrix(normals(5, N, seed=3)),
    "function": Function(lambda x: x[..., 1:] - x[..., :-1]),
    "kept": Kept(torch.arange(N).view(IMAGES) % 3 == 0),
    "kept of each": Kept(normals(4, *IMAGES, seed=5) > 0),
    "stack": Stack([Grey(), Kept(normals(4, *IMAGES, seed=5) > 0), Downsample(2)]),
}
EVERY = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


@EVERY
def test_the_adjoint_is_one(operator: Operator):
    """<A x, y> = <x, A' y>, row by row."""
    x = normals(4, *IMAGES)
    seen = operator(x)
    y = normals(*seen.shape, seed=1)
    back = operator.adjoint(y, IMAGES)
    assert back.shape == x.shape and not back.requires_grad
    torch.testing.assert_close(dot(seen, y), dot(x, back))


@EVERY
def test_operators_are_linear_and_are_their_matrix(operator: Operator):
    x, y = normals(4, *IMAGES), normals(4, *IMAGES, seed=1)
    torch.testing.assert_close(operator(x - 3 * y), operator(x) - 3 * operator(y))
    matrix = operator.dense(x)
    torch.testing.assert_close((matrix @ x.flatten(1).unsqueeze(-1)).squeeze(-1), operator(x).flatten(1))


def test_what_operators_do():
    x = normals(2, *IMAGES)
    torch.testing.assert_close(Downsample(4)(x)[1, 2, 1, 0], x[1, 2, 4:, :4].mean())
    assert torch.equal(Grey()(x)[:, 0], x.mean(1))
    torch.testing.assert_close(Blur(1.5)(torch.ones_like(x)), torch.ones_like(x))  # of each colour by itself
    spike = torch.zeros(1, 1, 21, 21).double()
    spike[0, 0, 10, 10] = 1
    spread = Blur(1.5)(spike)[0, 0]
    away = torch.arange(21).double() - 10
    assert float((spread.sum(1) * away.square()).sum()) == pytest.approx(1.5**2, rel=0.05)
    torch.testing.assert_close(spread, spread.T)


def test_words():
    found = operator_of("downsample:4"), operator_of("blur:1.5"), operator_of("grey")
    assert [type(operator) for operator in found] == [Downsample, Blur, Grey]
    assert found[0].factor == 4 and torch.equal(found[1].bell, Blur(1.5).bell)
    for words, said in {
        "sharpen": "one of downsample:4, blur:1.5, grey",
        "": "one of downsample:4",
        "downsample": "downsample needs a number, such as downsample:2",
        "downsample:2.5": "downsample needs a number",
        "blur:wide": "blur needs a number, such as blur:2",
        "downsample:0": "downsample:0",
        "blur:-1": "positive, finite",
        "blur:nan": "positive, finite",
        "blur:inf": "positive, finite",
    }.items():
        with pytest.raises(ValueError, match=said):
            operator_of(words)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"downsample:3: blocks do not fill images of 8x8"):
        Downsample(3)(normals(2, *IMAGES))
    for operator in (Downsample(2), Blur(1.0), Grey()):
        with pytest.raises(ValueError, match=r"is for images \(C, H, W\).*\(5,\)"):
            operator(normals(2, 5))
    with pytest.raises(ValueError, match="4 columns for examples of 5 values"):
        Matrix(normals(2, 4))(normals(2, 5))
    with pytest.raises(ValueError, match="two dimensions"):
        Matrix(normals(4))
    product = Linear(Grey(), torch.zeros(1, 4, 4), 1.0)
    with pytest.raises(
        ValueError, match=r"value has shape \(1, 4, 4\), what is seen of the states \(.*1, 8, 8\)"
    ):
        product.update(_belief(normals(2, *IMAGES)))


def _belief(mean: Tensor):
    from undiffuse.posteriors.belief import Belief

    return Belief(mean, lambda v: v, torch.ones(()), torch.ones(()), 5)


@pytest.mark.parametrize(
    "function", [lambda x: x.square(), lambda x: x + 1, lambda x: x.abs(), lambda x: x.clamp(-0.5, 0.5)]
)
def test_what_is_not_linear_is_refused(function):
    with pytest.raises(ValueError, match=r"not linear.*use LogDensity"):
        Function(function)(normals(2, 5))
    operator = Function(function)
    for _ in range(2):  # a refusal is not forgotten
        with pytest.raises(ValueError, match="not linear"):
            operator(normals(2, 5))


def test_widths_are_refused_or_taken():
    for std in (0.0, f64(1.0, 0.0), f64(1.0, torch.nan), -f64(1.0), torch.tensor([[1.0], [-2.0]])):
        for made in (
            lambda std: Noisy(torch.zeros(2), std),
            lambda std: Linear(Identity(), torch.zeros(2), std),
        ):
            with pytest.raises(ValueError, match="positive, finite width; for none use Known"):
                made(std)
    for std in (0.5, f64(0.5), f64(0.5, 0.6), torch.full((3, 2), 0.5)):
        assert Noisy(torch.zeros(3, 2), std).log(torch.zeros(3, 2)).shape == (3,)


def test_log_r_of_another_shape_is_refused():
    for fn, said in ((lambda x: x, r"fn gave \(2, 3\)"), (lambda x: x.sum(), r"fn gave \(\)")):
        with pytest.raises(ValueError, match=said):
            LogDensity(fn).log(normals(2, 3))
    with pytest.raises(ValueError, match="NaN"):
        LogDensity(lambda x: x.sum(1) * torch.nan).log(normals(2, 3))
    assert Known(torch.zeros(3), torch.ones(3).bool()).log(normals(2, 3)).tolist() == [0, 0]


def test_conjugate_gradients_solve():
    """As many iterations as unknowns; rows of nothing, and directions without width, stay at 0."""
    root, b = normals(4, 6, 6), normals(4, 6, seed=1)
    matrix = root @ root.mT + 0.1 * torch.eye(6)
    b[1] = 0
    most = torch.linalg.eigvalsh(matrix)[:, -1]  # a bound that binds nowhere
    for limit in (most, f64(torch.inf)):
        found = conjugate_gradients(lambda v: 2 * [(matrix @ v.unsqueeze(-1)).squeeze(-1)], b, 40, limit)
        torch.testing.assert_close(found, b, rtol=1e-5, atol=1e-5)  # C V^-1 b, and V is C
    assert found[1].abs().max() == 0
    flat = torch.diag(f64(1.0, 2.0, 0.0))
    found = conjugate_gradients(lambda v: (v @ flat, v @ flat), f64([[1.0, 1.0, 0.0]]), 9, f64(2.0))
    torch.testing.assert_close(found, f64([[1.0, 1.0, 0.0]]))
    assert conjugate_gradients(lambda v: (0 * v, v), f64([[1.0, 1.0]]), 9, f64(2.0)).abs().max() == 0


def test_what_is_no_covariance_leads_no_farther_than_one_could():
    """w' C w is 1e-9 though |C w| is 2: of eigenvalues up to 3 it would be at least 4/3."""
    matrix = f64([[1e-9, 2.0], [2.0, 0.0]])
    found = conjugate_gradients(lambda v: 2 * [v @ matrix.mT], f64([[1.0, 0.0]]), 1, f64(3.0))
    torch.testing.assert_close(found, f64([[0.0, 1.5]]), rtol=0, atol=1e-8)


def test_roots_of_singular_matrices():
    """Regular ones exactly; of singular ones, one of a tiny bit more."""
    column = normals(1, 4, 1)
    var = torch.cat([column @ column.mT, torch.eye(4).double()[None], torch.zeros(1, 4, 4).double()])
    root = stable_root(var)
    torch.testing.assert_close(root @ root.mT, var, rtol=0, atol=1e-8)
    assert root.isfinite().all() and torch.equal(root, root.tril())
    torch.testing.assert_close(stable_root(var[1:2])[0], torch.eye(4).double(), rtol=0, atol=0)
    almost = torch.eye(3).double() - (1 + 1e-12) * torch.ones(3, 3).double() / 3  # a little less than 0
    torch.testing.assert_close(stable_root(almost) @ stable_root(almost).mT, almost, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_what_is_no_covariance_is_refused(bad: float):
    with pytest.raises(FloatingPointError, match="covariance"):
        stable_root(bad * torch.eye(3).double().expand(2, 3, 3))


def test_what_rounding_leaves_of_a_covariance_is_certain():
    """Nothing but an error of -1e-16 is left of variances near 1: a root near zero, on any machine."""
    left = torch.tensor([[-1.1e-16, 0.0], [0.0, 0.0]]).double().expand(3, 2, 2)
    root = stable_root(left, torch.eye(2).double().expand(3, 2, 2))
    assert root.isfinite().all() and float(root.abs().max()) <= 1e-5
    with pytest.raises(FloatingPointError, match="covariance"):
        stable_root(left)
