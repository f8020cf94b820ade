"""Progress from inside: shares of parts, stages, and an early end."""

from threading import Event

import pytest

from undiffuse.job import Cancelled, Job
from undiffuse.track import SILENT, Track
from watched import reports, watched


def test_parts_of_parts_are_where_they_should_be():
    track, told = watched()
    short, long = track.split(1, 3)
    list(short.each("ab"))
    for _, part in long.over(range(2)):
        list(part.each(range(3)))
    assert told[""] == pytest.approx([0, 0.125, 0.25, 0.25, 0.25, 0.375, 0.5, 0.625, 0.625, 0.75, 0.875, 1])
    assert reports(told) == 8


def test_items_that_do_not_know_their_number_are_told_it():
    track, told = watched()
    assert list(track.each(iter("abc"), 3)) == ["a", "b", "c"]
    assert told[""] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_a_part_in_any_unit():
    track, told = watched()
    track.part(30, 40, of=50).at(1, 2)
    assert told[""] == [0.7]


def test_stages_go_from_0_to_1_each():
    track, told = watched()
    inner = track.part(0.5, 1)
    list(inner.stage("sample").each(range(2)))
    inner.stage("score").at(1)
    assert told == {"sample": [0, 0.5, 1], "score": [1]}


def test_nothing_to_do_is_no_stage_at_all():
    track, told = watched()
    assert list(track.over([])) == [] and told == {}
    assert track.split(0, 0)[1].end == 0
    assert list(SILENT.each([])) == []


def test_what_shows_it_may_end_the_work():
    def show(stage: str, share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    done = []
    with pytest.raises(KeyboardInterrupt):
        for number in Track(show).each(range(4)):
            done.append(number)
    assert done == [0, 1]


def test_a_job_says_how_far_it_is_and_has_a_result():
    halfway, go = Event(), Event()

    def work(track: Track) -> str:
        track.stage("sample").at(1, 2)
        halfway.set()
        go.wait(10)
        return "all"

    job = Job(work)
    assert halfway.wait(10) and (job.stage, job.share, job.done) == ("sample", 0.5, False)
    go.set()
    assert job.result(10) == "all" and job.done


def test_a_job_is_cancelled_from_inside():
    begun, closed = Event(), Event()

    def work(track: Track) -> None:
        try:
            for _ in track.each(range(10**9)):
                begun.set()
        finally:
            closed.set()

    job = Job(work)
    assert begun.wait(10)
    job.cancel()
    with pytest.raises(Cancelled):
        job.result(10)
    assert closed.is_set()


def test_what_a_job_raised_is_not_lost():
    with pytest.raises(ZeroDivisionError):
        Job(lambda track: 1 / 0).result(10)
