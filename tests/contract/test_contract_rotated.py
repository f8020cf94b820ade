"""A normal law along the axes of others is the normal law that its covariance matrix makes it."""

import pytest
import torch
from torch import Tensor

from undiffuse.axes import Axes, cosines
from undiffuse.distributions import Bernoulli, Correlated, Normal, Rotated
from undiffuse.random import keyed

G, SHAPE = keyed("rotated"), (2, 3)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=G, dtype=torch.float64)


WHOLE = Axes.whole(torch.linalg.qr(drawn(6, 6))[0])
PARTS = Axes({0: torch.linalg.qr(drawn(2, 2))[0], 1: cosines(3)})
AXES = pytest.mark.parametrize("axes", [WHOLE, PARTS, Axes()], ids=["whole", "parts", "none"])


def law(axes: Axes, rows: int = 4) -> Rotated:
    return Rotated(drawn(4, *SHAPE), drawn(rows, *SHAPE).square() + 0.1, axes)


def reference(p: Rotated) -> torch.distributions.MultivariateNormal:
    dense = p.axes.dense(SHAPE, p.loc)
    cov = dense * p.var.flatten(1).unsqueeze(-2) @ dense.mT
    return torch.distributions.MultivariateNormal(p.loc.flatten(1), cov)


def whole(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1)


@AXES
@pytest.mark.parametrize("rows", [1, 4])
def test_density_entropy_and_divergence_are_the_joints(axes, rows):
    p, q, x = law(axes, rows), law(axes), drawn(4, *SHAPE)
    wide, narrow = Normal(drawn(4, *SHAPE), torch.tensor(0.3).double()), Normal(drawn(4, *SHAPE), p.var)
    torch.testing.assert_close(whole(p.log_prob(x)), reference(p).log_prob(x.flatten(1)))
    torch.testing.assert_close(whole(p.entropy()), reference(p).entropy().expand(4))
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(whole(p.kl(q)), kl(reference(p), reference(q)))
    for other in (wide, narrow, law(Axes.whole(torch.linalg.qr(drawn(6, 6))[0]))):
        joint = other.joint()
        assert isinstance(joint, Correlated)
        dense = torch.distributions.MultivariateNormal(joint.loc.flatten(1), scale_tril=joint.root)
        torch.testing.assert_close(whole(p.kl(other)), kl(reference(p), dense))
        torch.testing.assert_close(whole(other.kl(p)), kl(dense, reference(p)))


@AXES
def test_what_it_becomes_is_what_its_matrix_becomes(axes):
    p, q, g, x = law(axes), law(axes), drawn(4, *SHAPE), drawn(4, *SHAPE)
    mask = torch.tensor([[True, False, False], [False, True, False]])
    for mine, its in (
        (p.joint(), p.joint()),
        (p.tilt(g), p.joint().tilt(g)),
        (p.blend(q, 0.6), p.joint().blend(q.joint(), 0.6)),
        (p.pin(mask, x), p.joint().pin(mask, x)),
        (p.patch(mask, q), p.joint().patch(mask, q.joint())),
        (p.rows(torch.tensor([2, 0])), p.joint().rows(torch.tensor([2, 0]))),
    ):
        y = mine.mean + drawn(*mine.shape) * ~mask
        torch.testing.assert_close(whole(mine.log_prob(y)), whole(its.log_prob(y)))
    same = reference(p).covariance_matrix.diagonal(dim1=-2, dim2=-1).view(4, *SHAPE)
    torch.testing.assert_close(p.alone().var, same)


@AXES
def test_draws_have_its_moments(axes):
    p = law(axes)
    many = Rotated(p.loc[:1].expand(40_000, *SHAPE), p.var[:1], axes).sample(keyed("draws")).flatten(1)
    var = reference(p).covariance_matrix[0]
    assert ((many.mean(0) - p.loc[0].flatten()).abs() < 5 * (var.diagonal() / 40_000).sqrt()).all()
    limit = 5 * (2 / 40_000) ** 0.5 * (var.diagonal()[:, None] * var.diagonal()).sqrt()
    assert ((torch.cov(many.T) - var).abs() < limit).all()


def test_axes_are_orthogonal_and_go_back():
    x = drawn(4, *SHAPE)
    for axes in (WHOLE, PARTS, Axes()):
        torch.testing.assert_close(axes.back(axes.along(x)), x)
        torch.testing.assert_close(axes.along(x).square().sum(), x.square().sum())
        dense = axes.dense(SHAPE, x)
        torch.testing.assert_close((x.flatten(1) @ dense).view(x.shape), axes.along(x))


def test_what_is_no_normal_is_refused():
    half = torch.full((4, *SHAPE), 0.5)
    with pytest.raises(TypeError, match="normal distributions alone"):
        law(WHOLE).kl(Bernoulli(half, half))
