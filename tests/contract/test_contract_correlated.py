"""The laws of distributions for the normal whose elements are correlated, against torch's own."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from oracles import f64, normals
from undiffuse.distributions import Bernoulli, Correlated, Normal
from undiffuse.random import keyed

SHAPE = (2, 2)


def one(seed: int, rows: int = 3, wide: float = 1.0) -> Correlated:
    width = 0.5 + normals(rows, 4, seed=seed + 1).abs()
    root = normals(rows, 4, 4, seed=seed).tril(-1) + torch.diag_embed(width)
    return Correlated(normals(3, *SHAPE, seed=seed + 2), wide * root)


def theirs(p: Correlated) -> MultivariateNormal:
    return MultivariateNormal(p.loc.flatten(1), scale_tril=p.root)


P, Q = one(10), one(20, wide=2.0)
EVERY = pytest.mark.parametrize("p", [P, Q, one(30, rows=1)], ids=["each", "wide", "one root"])
MASK = torch.tensor([[True, False], [True, False]])


@EVERY
def test_sums_over_elements_are_the_joints(p: Correlated):
    x = normals(3, *SHAPE, seed=3)
    for found, expected in (
        (p.log_prob(x), theirs(p).log_prob(x.flatten(1))),
        (p.entropy(), theirs(p).entropy()),
        (p.kl(P), kl_divergence(theirs(p), theirs(P))),
        (Q.kl(p), kl_divergence(theirs(Q), theirs(p))),
    ):
        assert found.shape == (3, *SHAPE)
        torch.testing.assert_close(found.flatten(1).sum(1), expected.expand(3))


@EVERY
def test_kl_is_none_to_itself_and_never_negative(p: Correlated):
    torch.testing.assert_close(p.kl(p), torch.zeros(3, *SHAPE).double(), rtol=0, atol=1e-12)
    assert (p.kl(Q).flatten(1).sum(1) >= -1e-12).all() and (Q.kl(p).flatten(1).sum(1) >= -1e-12).all()


def test_independent_elements_are_a_normal():
    q, x = Normal(normals(3, *SHAPE), normals(*SHAPE, seed=1).square() + 0.1), normals(3, *SHAPE, seed=2)
    p, other = Correlated(q.loc, torch.diag(q.var.flatten().sqrt())[None]), Normal(q.loc + 1, f64(0.3))
    torch.testing.assert_close((p.log_prob(x), p.entropy()), (q.log_prob(x), q.entropy().expand_as(x)))
    torch.testing.assert_close(p.sample(keyed(0)), q.sample(keyed(0)))
    for a, b in ((p.kl(P), q.kl(P)), (P.kl(p), P.kl(q)), (p.kl(other), q.kl(other))):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(q.kl(p), torch.zeros_like(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(p.blend(other, 0.7).loc, q.blend(other, 0.7).loc)


@EVERY
def test_tilt_and_blend_are_renormalised_products(p: Correlated):
    """log p~ less what it should be is one constant a row, whatever x."""
    g, points = normals(3, *SHAPE, seed=5), [normals(3, *SHAPE, seed=i) for i in range(40, 45)]
    for found, log in (
        (p.tilt(g), lambda x: p.log_prob(x) + g * x),
        (p.blend(Q, 0.6), lambda x: 0.6 * p.log_prob(x) + 0.4 * Q.log_prob(x)),
    ):
        apart = torch.stack([(found.log_prob(x) - log(x)).flatten(1).sum(1) for x in points])
        torch.testing.assert_close(apart, apart[:1].expand(5, 3))
    torch.testing.assert_close(p.blend(Q, 1.0).loc, p.loc)


def test_what_is_no_normal_is_refused():
    half = torch.full((3, *SHAPE), 0.5)
    with pytest.raises(ValueError, match=r"weight=9.*nearer to 1"):
        Q.blend(P, 9.0)
    for method in (P.kl, lambda q: P.patch(MASK, q), lambda q: P.blend(q, 0.5)):
        with pytest.raises(TypeError, match="known of normal distributions alone"):
            method(Bernoulli(half, half))


def test_pinned_elements_are_certain_and_the_others_keep_their_law():
    """That of the others alone: what was pinned tells nothing."""
    value, free = normals(3, *SHAPE, seed=7), (~MASK).flatten()
    q = P.pin(MASK, value)
    x = q.sample(keyed(0))
    assert torch.equal(x[:, MASK], value[:, MASK]) and torch.equal(q.mean[:, MASK], value[:, MASK])
    torch.testing.assert_close(q.mean[:, ~MASK], P.mean[:, ~MASK])
    rest = MultivariateNormal(P.loc[:, ~MASK], (P.root @ P.root.mT)[:, free][:, :, free])
    torch.testing.assert_close(q.log_prob(x)[:, ~MASK].sum(1), rest.log_prob(x[:, ~MASK]))
    torch.testing.assert_close((q.root @ q.root.mT)[:, free][:, :, free], rest.covariance_matrix)
    assert torch.equal(q.pin(~MASK, value).sample(keyed(0)), value)
    assert torch.equal(P.pin(~MASK & MASK, value).sample(keyed(1)), P.sample(keyed(1)))


@pytest.mark.parametrize("other", [Q, Normal(Q.loc, f64(0.3))], ids=["correlated", "normal"])
def test_patched_elements_are_the_others(other: Correlated | Normal):
    found, line = P.patch(MASK, other), MASK.flatten()
    own, its = P.root @ P.root.mT, other.root @ other.root.mT if other is Q else 0.3 * torch.eye(4).double()
    var: Tensor = found.root @ found.root.mT
    torch.testing.assert_close(var[:, ~line][:, :, ~line], own[:, ~line][:, :, ~line])
    torch.testing.assert_close(var[:, line][:, :, line], its[..., line, :][..., line].expand(3, -1, -1))
    assert var[:, line][:, :, ~line].abs().max() == 0
    assert torch.equal(found.loc, torch.where(MASK, Q.loc, P.loc))


def test_draws_have_the_moments():
    n, cov = 20_000, (P.root @ P.root.mT)[0]
    x = Correlated(P.loc[:1].expand(n, *SHAPE), P.root[:1]).sample(keyed("draws")).flatten(1)
    wide = cov.diagonal()[:, None] * cov.diagonal() + cov.square()
    assert ((x.mean(0) - P.loc[0].flatten()).abs() < 5 * (cov.diagonal() / n).sqrt()).all()
    assert ((torch.cov(x.T) - cov).abs() < 5 * (wide / n).sqrt()).all()


def test_rows():
    """Also of one root, or one variance, for all."""
    index, x = torch.tensor([2, 0, 0, 1]), normals(3, *SHAPE)
    for p in (P, one(30, rows=1), Normal(P.loc, f64(1.0)), Normal(P.loc, normals(*SHAPE).exp())):
        torch.testing.assert_close(p.rows(index).log_prob(x[index]), p.log_prob(x)[index])
        assert p.rows(index).shape == (4, *SHAPE)
