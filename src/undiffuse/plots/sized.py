"""What films of every format ask of their frames and times."""

from collections.abc import Iterable, Iterator

from undiffuse.plots.arrays import Bytes

SHORTEST = 20  # ms: browsers slow down what is shorter


def sized(frames: Iterable[Bytes]) -> Iterator[Bytes]:
    """The frames, one at a time.

    Raises:
        ValueError: if there is none, or one is of another size than those before.
    """
    size = None
    for number, picture in enumerate(frames):
        size = picture.shape[:2] if size is None else size
        if picture.shape[:2] != size:
            now, then = (f"{width} x {height}" for height, width in (picture.shape[:2], size))
            raise ValueError(
                f"frames[{number}] is {now} pixels, those before {then}; "
                "give every frame the same number and size of images"
            )
        yield picture
    if size is None:
        raise ValueError("frames is empty; give at least one frame (is the generator used up?)")


def check_time(time: int, name: str, longest: int) -> int:
    """`time` itself, in ms.

    Raises:
        ValueError: unless it is from 20 to `longest`.
    """
    if not SHORTEST <= time <= longest:
        raise ValueError(f"{name} is {time} ms; give {SHORTEST} to {longest}")
    return time
