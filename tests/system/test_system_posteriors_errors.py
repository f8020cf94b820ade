"""undiffuse inpaint, denoise, restore, impute, given what they cannot use: one line, and nothing written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shell import refused, tree

CASES = """
digits | inpaint | give a file, or --index I for an example of the test data
digits | inpaint a.npy --index 0 | give a file, or --index I
digits | denoise --index 300 | index=300: the test data have examples 0 to 299
digits | inpaint none.png | none.png: no such file
digits | inpaint --index 0 --mask none.png | mask none.png: no such file; give one, or a word: left
digits | inpaint --index 0 --mask wide.png | wide.png: a mask of 9 x 8 pixels, this run has 8 x 8
digits | inpaint --index 0 --mask wide.npy | wide.npy: holds float64; a mask is bool
digits | inpaint --index 0 --mask mask9.npy | mask9.npy: a mask of shape (8, 9), this run has
digits | inpaint --index 0 --mask text.png | text.png cannot be read as PNG or JPEG
vectors | inpaint --index 0 --mask top | mask top: examples of shape (3,) have left, right and
vectors | inpaint --index 0 --mask wide.png | wide.png: a picture, but this run has examples of
digits | inpaint nan.npy | nan.npy: holds values that are not finite
digits | denoise nan.npy | nan.npy: holds values that are not finite
digits | restore nan.npy --operator blur:1 | nan.npy: holds values that are not finite
digits | inpaint high.npy | high.npy: values 17 to 17, this run has whole numbers 0 to 16
digits | denoise far.npy --std 0.1 | the observation has values 200 to 200, this run's data 0 to 16
digits | impute high.npy | known values 17 to 17: this run has whole numbers 0 to 16
bits | impute half.npy | known values 0.5 to 0.5: this run has whole numbers 0 to 1
bits | impute two.npy | known values 2 to 2: this run has whole numbers 0 to 1
vectors | impute inf.npy | inf.npy: holds infinite values; NaN marks what is missing
vectors | impute wide.npy | wide.npy: shape (1, 8, 9), this run has examples of shape (3,)
vectors | impute wide.png | wide.png: a table with holes is read from an .npy file
vectors | impute none.npy | none.npy: no such file
digits | denoise --index 0 --std 0 | std=0: noise has a positive, finite width
digits | denoise --index 0 --std -1 | std=-1: noise has a positive, finite width
digits | restore --index 0 --std nan | std=nan: noise has a positive, finite width
bits | denoise --index 0 | normal noise is that of numbers, this run is of symbols: use inpaint or
bits | denoise two.npy | normal noise is that of numbers, this run is of symbols: use inpaint or
bits | restore --index 0 | downsample is for images (C, H, W), these examples have shape (20,)
digits | restore --index 0 --operator shrink:2 | operator shrink:2: one of downsample:4, blur:1.5
digits | restore --index 0 --operator blur | operator blur: blur needs a number, such as blur:2
digits | restore --index 0 --operator downsample:3 | downsample:3: blocks do not fill images of 8x8
digits | restore a.npy | a.npy: shape (1, 8, 8), downsample:4 gives examples of shape (1, 2, 2)
digits | restore wide.png | wide.png: 9 x 8 pixels, downsample:4 gives 2 x 2; resize it first
digits | inpaint --index 0 --method best | method best: one of matched, flat, tilted, constant
digits | inpaint --index 0 --method tilted | method tilted: Tilted takes x_0 to be independent
digits | restore --index 0 --operator grey:2 | operator grey:2: grey has no number
bits | inpaint --index 0 --method flat | method flat: Matched takes x_0 to be normal given x_t
digits | denoise --index 0 --method replaced | method replaced: Noisy: what replaces elements of
digits | inpaint --index 0 --method constant --particles 4 | method constant: Constant with Known
digits | inpaint --index 0 --method replaced --evidence | method replaced: Replaced with Known
digits | inpaint --index 0 --particles 1 | particles=1: a group has at least two
digits | inpaint --index 0 --evidence --groups 1 | groups=1: the error of the evidence needs at
digits | inpaint --index 0 --groups 4 | --groups 4: they are for --evidence
digits | inpaint --index 0 --evidence --particles 2 -n 17 | n=17: 8 groups of 2 particles are 16
vectors | impute table.npy --evidence | the evidence is of one example at a time, these are 2
digits | inpaint --index 0 --times 4 | times=4: it is the method replaced that makes every step
digits | inpaint --index 0 --method replaced --times 0 | times=0: every step is made at least once
digits | inpaint --index 0 -n 0 | n=0: draw at least one sample
digits | inpaint --index 0 --steps 13 | steps=13: this run's chain can be thinned to 1 to 12 steps
digits | inpaint --index 0 --class 3 | this run takes no condition
digits | inpaint --index 0 --out x.png | --out x.png: several files are written; give a folder
digits | inpaint --index 0 --out no/x | --out no/x: the folder no does not exist
"""


@pytest.mark.parametrize("case", CASES.strip().splitlines())
def test_bad_input(all_runs: dict[str, Path], case: str):
    kind, words, message = (part.strip() for part in case.split(" | "))
    Path("text.png").write_text("text")
    Image.fromarray(np.zeros((8, 9), np.uint8)).save("wide.png")
    values = {"high": 17.0, "far": 200.0, "nan": np.nan, "a": 3.0}
    arrays = {name: np.full((1, 8, 8), value) for name, value in values.items()}
    arrays |= {"wide": np.zeros((1, 8, 9)), "mask9": np.ones((8, 9), bool)}
    arrays |= {"half": np.full(20, 0.5), "two": np.full(20, 2.0), "inf": np.array([1, np.inf, 2])}
    arrays |= {"table": np.full((2, 3), np.nan)}
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    verb, *rest = words.split()
    before = tree(Path()) | tree(all_runs[kind])
    assert refused(verb, all_runs[kind], *rest).startswith(message)
    assert tree(Path()) | tree(all_runs[kind]) == before
