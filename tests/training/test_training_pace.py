"""Uneven steps are noticed, once; a slow start and a single hiccup are not."""

import pytest

from undiffuse.training.pace import LEAST, Pace


def said(*times: float) -> list[str]:
    pace = Pace()
    return [text for text in map(pace.add, times) if text]


@pytest.mark.parametrize(
    "times",
    [
        [0.1] * 200,
        [9.0] + [0.1] * 200,  # the first prepares itself
        [0.1, 0.3] * 50,
        ([0.1] * 30 + [2.0]) * 10,
        [0.1] * 5 + [0.6] * 5,  # too few
        [0.1] * 40 + [0.4] * 300,  # slower from some step on, evenly
    ],
)
def test_even_steps_say_nothing(times: list[float]):
    assert not said(*times)


def test_uneven_ones_say_it_once():
    (text,) = said(*[0.1, 0.1, 0.1, 0.1, 0.7] * 60)
    assert text.startswith("steps take from 0.1 to 0.7 s: other programs")
    assert len(said(*[0.1, 0.7] * (LEAST // 2))) == 1
