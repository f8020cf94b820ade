"""What a track was told, and the law that it has to obey."""

from itertools import pairwise

from undiffuse.track import Track

Told = dict[str, list[float]]


def watched() -> tuple[Track, Told]:
    """A track, and the shares of every stage that it will have been told."""
    told: Told = {}
    return Track(lambda stage, share: told.setdefault(stage, []).append(share)), told


def reports(told: Told, stage: str = "") -> int:
    """How often a stage got further: it begins at 0, never goes back, and ends at 1."""
    shares = told[stage]
    assert shares[0] == 0 and abs(shares[-1] - 1) < 1e-9
    assert all(a <= b + 1e-9 for a, b in pairwise(shares))
    return sum(b > a + 1e-9 for a, b in pairwise(shares))
