"""Training in float16: the scale is GradScaler's, small gradients survive, overflows make no update."""

import pytest
import torch
from toy import new_state, same, steps, tensors

from undiffuse.objectives import Simple
from undiffuse.training import NonFiniteError
from undiffuse.training.scaling import GROWTH, LossScale


def test_the_scale_is_that_of_pytorch():
    """Over a sequence of overflows and long clean stretches."""
    theirs, ours = torch.amp.GradScaler("cpu"), LossScale(on=True)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    overflows = {0, 1, 7, 2006, 2008, 4012}
    for step in range(2 * GROWTH + 300):
        theirs.scale(weight.sum()).backward()
        assert torch.equal(weight.grad, ours.apply(torch.ones(2)))
        weight.grad[0] = torch.inf if step in overflows else weight.grad[0]
        theirs.unscale_(optimizer)
        theirs.step(optimizer)
        theirs.update()
        ours.update(step in overflows)
        state = theirs.state_dict()
        assert (ours.scale, ours.clean) == (state["scale"], state["_growth_tracker"]), step
        optimizer.zero_grad()
    assert ours.overflows == len(overflows)


def times(factor: float):
    """The simple objective, so many times as large."""
    return lambda *given: Simple()(*given) * factor


def gradient(scale: float | None, factor: float) -> torch.Tensor:
    """That of the first weights after one step, over the factor; in float32 without a scale."""
    state = new_state(precision="fp32" if scale is None else "fp16", clip=0.0)
    if scale is not None:
        state.scaling.scale = scale
    steps(state, times(factor), 1)
    return next(p.grad for n, p in state.model.named_parameters() if n.endswith("first")) / factor


def test_small_gradients_survive():
    """Those of a loss of 1e-7 are lost in float16, unless they are scaled."""
    exact = gradient(None, 1e-7)
    assert float((gradient(2.0**16, 1e-7) - exact).norm() / exact.norm()) < 0.01
    assert float((gradient(1.0, 1e-7) - exact).norm() / exact.norm()) > 0.3


def test_an_overflow_makes_no_update_and_halves_the_scale():
    state = new_state(seed=1, precision="fp16", steps=30, spike=1.0, on_spike="skip")
    before, reports = tensors(state), steps(state, times(300.0), 1)
    assert reports[0].loss > 0 and not reports[0].taken and reports[0].skipped is None
    assert (reports[0].loss_scale, reports[0].overflows, state.skips) == (2.0**15, 1, 0)
    assert same(before, tensors(state)) and state.spikes.recent == []
    reports = steps(state, times(300.0))
    taken = [r.taken for r in reports]
    assert 3 <= taken.index(True) + 1 <= 12 and all(taken[taken.index(True) :])
    assert state.scaling.scale == 2.0 ** (16 - state.scaling.overflows)
    assert not same(before, tensors(state))


def test_what_no_scale_mends_is_an_error():
    """A gradient that is not a number at any scale, and a loss that is none."""
    state = new_state(precision="fp16", steps=40)
    with pytest.raises(NonFiniteError, match=r"step 16: loss .*train\.precision=fp32"):
        steps(state, lambda *given: Simple()(*given) + (given[0].network.first.sum() * 0).sqrt())
    assert (state.scaling.scale, state.scaling.overflows) == (1.0, 16)
    with pytest.raises(NonFiniteError, match="step 0: loss nan"):
        steps(new_state(precision="fp16"), times(torch.nan))


def test_an_overflow_neither_is_nor_ends_a_row_of_skips():
    state = new_state(precision="fp16", non_finite="skip", skip_limit=2)
    state.skips = 1
    steps(state, times(1e6), 1)
    assert (state.skips, state.scaling.overflows) == (1, 1)
    steps(state, times(torch.nan), 1)
    assert (state.skips, state.scaling.overflows) == (2, 1)
    with pytest.raises(NonFiniteError, match="step 2: loss nan"):
        steps(state, times(torch.nan), 1)


def test_a_bad_state_is_no_overflow():
    state = new_state(precision="fp16")
    steps(state, count=2)
    with torch.no_grad():
        state.ema.average["network.bias"][0] = torch.nan
    with pytest.raises(NonFiniteError, match=r"step 2: .*average: network.bias"):
        steps(state, times(1e9))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_precisions_have_no_scale(precision: str):
    state = new_state(precision=precision)
    assert {(r.loss_scale, r.overflows) for r in steps(state)} == {(None, 0)}
    assert state.scaling.scale == 1.0


def test_it_learns_as_float32_does():
    one, two = (new_state(steps=200, lr=0.02, precision=p) for p in ("fp32", "fp16"))
    a, b = (sum(r.loss for r in steps(state)[-50:]) for state in (one, two))
    assert a == pytest.approx(b, rel=0.02)
    assert {t.dtype for t in tensors(two).values()} == {torch.float32}
