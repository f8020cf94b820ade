"""What is unaided is computed without autocast, and leaves it as it was; single precision is put back."""

import pytest
import torch

from undiffuse.ambient import single, unaided

ON = pytest.mark.parametrize("on", [True, False])


def half() -> bool:
    """Whether a product is computed in less than float32."""
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype != torch.float32


@ON
def test_a_function(on: bool):
    @unaided
    def inside(a: int, *, b: int) -> tuple[int, bool]:
        """What it is."""
        return a + b, half()

    with torch.autocast("cpu", torch.bfloat16, enabled=on):
        assert inside(1, b=2) == (3, False) and half() == on
        with torch.autocast("cpu", torch.bfloat16):  # as training's own
            assert half()
    assert inside.__doc__ == "What it is." and not half()


@ON
def test_a_generator_between_its_results(on: bool):
    ended = []

    @unaided
    def walk(n: int):
        try:
            for _ in range(n):
                yield half()
            return "end"
        finally:
            ended.append(half())

    def read():
        return (yield from walk(2))

    with torch.autocast("cpu", torch.bfloat16, enabled=on):
        reader, seen = read(), []
        while True:
            try:
                seen.append((next(reader), half()))
            except StopIteration as end:
                assert end.value == "end"
                break
        assert seen == [(False, on)] * 2 and ended == [False]
        left = walk(5)
        next(left)
        left.close()
        assert len(ended) == 2 and half() == on

    @unaided
    def fails():
        yield half()
        raise ValueError("inside")

    with torch.autocast("cpu", torch.bfloat16, enabled=on), pytest.raises(ValueError, match="inside"):
        list(fails())
    assert not half()


def test_single_precision_is_put_back():
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(KeyError), single():
            assert torch.zeros(1).dtype == torch.float32
            raise KeyError
        assert torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
