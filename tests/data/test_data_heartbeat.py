import math

import pytest
import torch
from scipy import stats

from undiffuse.data.heartbeat import Heartbeat
from undiffuse.data.space import Levels, space_of


def test_shape_and_determinism():
    splits = Heartbeat().load()
    assert splits.train.shape == (10_000, 20) and splits.test.shape == (10_000, 20)
    assert splits.levels == 2 and splits.train.dtype == torch.uint8
    assert isinstance(space_of(splits), Levels)
    small = Heartbeat(train=30, test=30)
    assert torch.equal(small.load().train, small.load().train)
    assert not torch.equal(small.load().train, small.load().test)
    assert not torch.equal(small.load().train, Heartbeat(train=30, test=30, seed=1).load().train)


@pytest.mark.parametrize(("length", "period"), [(20, 5), (6, 2), (7, 7)])
def test_patterns_are_all_the_sequences_there_are(length, period):
    patterns = Heartbeat(length=length, period=period).patterns()
    assert patterns.shape == (period, length) and patterns.dtype == torch.uint8
    for phase, pattern in enumerate(patterns.tolist()):
        assert pattern == [int(i % period == phase) for i in range(length)]


def test_every_phase_is_equally_likely():
    beat = Heartbeat(length=10)
    for x in (beat.load().train, beat.load().test):
        counts = (x[:, None] == beat.patterns()).all(2).sum(0)
        assert counts.sum() == len(x)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_the_likelihood_of_the_paper():
    assert -Heartbeat().entropy_bits == pytest.approx(-2.322, abs=1e-3)
    assert Heartbeat(length=8, period=8).entropy_bits == 3
    assert math.exp(math.log(2) * Heartbeat().entropy_bits) == pytest.approx(len(Heartbeat().patterns()))


@pytest.mark.parametrize(
    "bad", [{"train": 0}, {"test": 0}, {"period": 1}, {"period": -5}, {"length": 21}, {"length": 0}]
)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}={next(iter(bad.values()))}"):
        Heartbeat(**bad)
