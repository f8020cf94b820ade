"""Examples to a file and back: the model's chain, a method, the header, and what must agree."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from undiffuse.ambient import unaided
from undiffuse.codec.alphabet import numbers_of
from undiffuse.codec.chain import Chain, Plan, data_rows
from undiffuse.codec.channel import Channel
from undiffuse.codec.chunk import Chunk
from undiffuse.codec.columns import HOLE, RowNumbers, holes_in, packed_holes, whole
from undiffuse.codec.container import CODERS, MOST_KNOTS, VALUES, Header, digest_of, pack, unpack
from undiffuse.codec.identity import canary, model_hash
from undiffuse.codec.lossless import Lossless
from undiffuse.codec.method import Method
from undiffuse.codec.planning import MANY, Trade, trade
from undiffuse.codec.universal import Universal
from undiffuse.data import Examples, Levels, Symbols
from undiffuse.kernels import Discrete, Mixed
from undiffuse.model import Denoiser, ReverseProcess
from undiffuse.parameterizations import DiscretizedDecoder
from undiffuse.schedules import grids
from undiffuse.tensors import dims
from undiffuse.track import SILENT, Track

METHODS: dict[str, Method] = {CODERS[each.number]: each for each in (Lossless(), Universal(), Channel())}
PLANNED, LEAST = 2**14, 32  # values of examples that choose the chain, and examples at least
KNOTS, WORTH = (1, 5, 17), 2**9  # of variances by context; and how many values one needs to be fitted


class Numbered(Protocol):
    """A map between whole numbers, as examples have them, and x_0."""

    def encode(self, raw: Tensor) -> Tensor:
        """x_0, float32. Raises ValueError for numbers that are not the model's."""

    def decode(self, x_0: Tensor) -> Tensor:
        """The numbers."""


@unaided
def compress(
    model: ReverseProcess,
    x: Tensor,
    *,
    method: str = "lossless",
    grid: Tensor | None = None,
    steps: int | None = None,
    plan: Plan | None = None,
    extra: bytes = b"",
    track: Track = SILENT,
) -> bytes:
    """A file of the examples x (N, *shape), whole numbers: levels, symbols or bits.

    Of a table rows (N, D) of them, float64, NaN where there are holes: how many steps a value is above the
    least, and symbols.

    `method` is one of `METHODS`. `grid` is the model's chain (its table's, or 1000 even steps). It is thinned
    as a `plan` says, which is better found on many examples of the training data (`choose`); without one, to
    `steps` times, the best for these examples, and by default to as few as make a file close to the smallest.
    Raises ValueError for no examples, for numbers that are not the model's, and for a model that has no
    probabilities of any.
    """
    how, known, base = _method(method), coded(model), base_grid(model, grid)
    if not len(x):
        raise ValueError("there are no examples to compress")
    space(known).encode(x)
    known.check_count(len(x))
    table = isinstance(known.kernel, Mixed)
    if table and extra:
        raise ValueError("extra: a table's file keeps its holes there")
    if plan is None:
        looking = track.stage("choose steps")
        plan = choose(model, x, method=method, grid=base, steps=steps, track=looking).best(len(x), steps).plan
    numbers = whole(x) if table else numbers_of(x).reshape(len(x), -1)
    extra = packed_holes(numbers) if table else extra
    holes = numbers == HOLE if table and extra else None
    chain = Chain(how.model(known), tuple(x.shape[1:]), plan, base, holes)
    chunks = how.encode(chain, numbers, track)
    packed = [chunk.pack() for chunk in chunks]
    header = Header(
        coder=how.number,
        model=model_hash(known),
        canary=canary(chain),
        shape=chain.shape,
        levels=_levels(known),
        plan=plan,
        count=len(x),
        digest=digest_of(numbers),
        chunks=tuple((chunk.count, len(each)) for chunk, each in zip(chunks, packed, strict=True)),
        extra=extra,
    )
    return pack(header, packed)


@unaided
def decompress(
    model: ReverseProcess,
    data: bytes,
    *,
    bits: float | None = None,
    grid: Tensor | None = None,
    shape: tuple[int, ...] | None = None,
    values: int = VALUES,
    track: Track = SILENT,
) -> Tensor:
    """The examples (N, *shape) of a file, uint8 for up to 256 levels, else int32.

    A progressive file may be cut off anywhere behind its header, or be read for `bits` per dimension only:
    then these are what the bits say best. `shape` is that of the model's examples. Raises ValueError, in one
    line, for a file that is damaged, of another model or shape, of more than so many data values, or that
    this machine's arithmetic cannot read.
    """
    header, parts = unpack(data, values, bits)
    check_model(coded(model), header, shape)
    try:
        return _decoded(model, header, parts, base_grid(model, grid), track)
    except FloatingPointError as error:
        raise ValueError(f"damaged, or not of this model: {error}") from error


def _decoded(model: ReverseProcess, header: Header, parts: list[bytes], base: Tensor, track: Track) -> Tensor:
    known = coded(model)
    how = METHODS[CODERS[header.coder]]
    table, holes = isinstance(known.kernel, Mixed), None
    if table:
        holes = holes_in(header.extra, (header.count, *header.shape))
    chain = Chain(how.model(known), header.shape, header.plan, base, holes)
    with _given(header.shape):
        found = canary(chain)
    if found != header.canary:
        raise ValueError(
            "this machine's arithmetic gives the model other predictions than those the file was made with, "
            "or the model has another kernel or parameterization"
        )
    chunks = [Chunk.unpack(count, part) for (count, _), part in zip(header.chunks, parts, strict=False)]
    numbers = how.decode(chain, chunks, header.count, track)
    if len(parts) == len(header.chunks) and digest_of(numbers) != header.digest:
        raise ValueError("damaged: what was decoded is not what was compressed")
    return space(known).decode(chain.tensor(chain.alphabets[0].values(numbers)).cpu())


def choose(
    model: ReverseProcess,
    x: Examples,
    *,
    new: Examples | None = None,
    method: str = "lossless",
    grid: Tensor | None = None,
    steps: int | None = None,
    knots: Sequence[int] | None = None,
    track: Track = SILENT,
) -> Trade:
    """The best chains of every number of steps for examples x (N, *shape), and what `new` ones cost on them.

    About `PLANNED` values of each are looked at. Without `new` it is x itself that is weighed, which the
    chains fit too well. Their variances depend on the context by so many `knots`, of which there may be
    several; by default by those of `KNOTS` for which there are `WORTH` values each.
    """
    known, how, shape = prepared(model, method), _method(method), tuple(x.shape[1:])
    index = _spread(x)
    few, fresh = x[index], None if new is None else new[_spread(new)]
    known = known.rows(index)
    if knots is None:
        knots = [each for each in KNOTS if each == 1 or few.numel() >= WORTH * each]
    for each in knots:
        if not 1 <= each <= MOST_KNOTS:
            raise ValueError(f"knots={each}: a file keeps 1 to {MOST_KNOTS} of a variance by context")
    base, encode = base_grid(model, grid), space(known).encode

    def placed(raw: Tensor) -> Tensor:
        x_0 = encode(raw)
        like = next(known.parameters(), x_0)
        return x_0.to(like.device, like.dtype)

    with _given(shape):
        return trade(
            how,
            known,
            placed(few),
            base,
            candidates(method, base, steps),
            levels=_levels(known),
            new=None if fresh is None else placed(fresh),
            knots=knots,
            track=track,
        )


def _spread(x: Examples) -> Tensor:
    """Numbers of examples of about `PLANNED` values, evenly spread."""
    count = min(len(x), max(LEAST, PLANNED // dims(tuple(x.shape[1:]))))
    return torch.linspace(0, len(x) - 1, count, dtype=torch.float64).round().long()


def prepared(model: ReverseProcess, method: str) -> Denoiser:
    """The model whose chain a method codes. Raises ValueError for one that it cannot code."""
    return _method(method).model(coded(model))


def candidates(method: str, grid: Tensor, steps: int | None = None) -> int:
    """How many times of the grid `choose` looks at: its network calls, twice as many with `new`."""
    wanted = steps if steps is not None and steps <= MANY else 0
    return min(len(grid), max(_method(method).candidates, wanted))


def coded(model: ReverseProcess) -> Denoiser:
    """The model, if there are probabilities of whole numbers in it. ValueError if not."""
    if not isinstance(model, Denoiser):
        raise ValueError("only a model of one network can be coded with: no product, and no guidance")
    if isinstance(model.kernel, Mixed):
        data_rows(model)
        if model.condition is not None:
            raise ValueError("rows are coded whole: nothing can be given of them")
        return model
    if not isinstance(model.kernel, Discrete) and not isinstance(model.decoder, DiscretizedDecoder):
        raise ValueError(
            "this model is of continuous data, which no number of bits gives back exactly: train on data "
            "with levels (decoder=discretized)"
        )
    return model


def space(model: Denoiser) -> Numbered:
    """Which whole numbers the model's data are: what encodes them, and back."""
    if isinstance(model.kernel, Mixed):
        return RowNumbers(data_rows(model))
    if isinstance(model.kernel, Discrete):
        return Symbols(model.kernel.symbols)
    return Levels(_levels(model))


def base_grid(model: ReverseProcess, grid: Tensor | None) -> Tensor:
    """The chain that is thinned: the one given, or the model's table, or 1000 even steps."""
    return grids.uniform(model.kernel.schedule.steps or 1000) if grid is None else grids.check_grid(grid)


def _levels(model: Denoiser) -> int:
    if isinstance(model.kernel, Discrete):
        return model.kernel.symbols
    if isinstance(model.kernel, Mixed):
        return max(2, *model.kernel.columns)
    assert isinstance(model.decoder, DiscretizedDecoder)
    return model.decoder.levels


@contextmanager
def _given(shape: tuple[int, ...]) -> Iterator[None]:
    """A network's first look at this shape: ValueError if that is more than it can take."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"this model cannot take examples of shape {shape}: {reason}") from error


def made_by(model: ReverseProcess, header: Header) -> bool:
    """Whether the model's weights and levels are those that made the file."""
    known = coded(model)
    return (model_hash(known), _levels(known)) == (header.model, header.levels)


def check_model(model: ReverseProcess, header: Header, shape: tuple[int, ...] | None = None) -> None:
    """Raise ValueError for a file of another model, or of other examples than of this shape."""
    if header.shape != (shape or header.shape):
        raise ValueError(f"the file's examples are of shape {header.shape}, this model's of {shape}")
    if not made_by(model, header):
        found = model_hash(coded(model)).hex()[:12]
        raise ValueError(
            f"the file was made with another model, {header.model.hex()[:12]}; this one is {found}"
        )


def _method(name: str) -> Method:
    if name not in METHODS:
        raise ValueError(f"method={name!r}: there are {', '.join(METHODS)}")
    return METHODS[name]
