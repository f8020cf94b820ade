"""Damaged files are refused, hostile ones too, and neither crashes, hangs or fills the memory."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import damage
from compressors import gaussian
from undiffuse import codec
from undiffuse.codec import container
from undiffuse.codec.chunk import Chunk
from undiffuse.tensors import dims


def test_damaged_files_are_refused_or_give_the_prefix():
    ends = damage.try_damaged(2000)
    assert ends["refused"] > 1900 and ends["prefix"] > 2


@pytest.mark.slow
def test_hostile_files_are_refused_in_little_time_and_memory():
    """In a process whose memory has a limit."""
    program = [sys.executable, "-W", "ignore", str(Path(damage.__file__)), "300"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "'refused': 2" in done.stdout


def test_every_single_bit_of_a_small_file():
    """Whatever bit is flipped, it is found."""
    model, x, data = damage.bases()[0]
    assert torch.equal(codec.decompress(model, data, grid=damage.GRID), x)
    for place in range(8 * len(data)):
        mutant = bytearray(data)
        mutant[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"damaged|version|begin|header"):
            codec.decompress(model, bytes(mutant), grid=damage.GRID)


def test_a_header_that_claims_too_much(monkeypatch):
    """65535 x 65535 and worse, before anything else happens."""
    header, parts = codec.unpack(damage.bases()[0][2])
    monkeypatch.setattr(codec.files, "Chain", None)
    for shape in ((1, 65535, 65535), (2**24,) * 8, (2**24, 2**24, 2**24), (2**16, 2**16, 2**16, 2**16)):
        assert dims(shape) > 2**26
        data = container.pack(replace(header, shape=shape), parts)
        with pytest.raises(ValueError, match="more than the 67108864 allowed"):
            codec.decompress(gaussian(), data, grid=damage.GRID)


def test_words_that_nobody_wrote():
    """Below what is read, where no number comes from them, and so no digest tells."""
    model, _, data = damage.bases()[0]
    header, (part,) = codec.unpack(data)
    chunk = Chunk.unpack(3, part)
    more = Chunk(3, np.append(np.array([7, 9], np.uint32), chunk.words), chunk.spare, chunk.sides).pack()
    with pytest.raises(ValueError, match="end where they should"):
        codec.decompress(model, container.pack(replace(header, chunks=((3, 0),)), [more]), grid=damage.GRID)
