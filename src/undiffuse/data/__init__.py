"""Data sets: where examples come from, under which licence, and how they become tensors.

A `Source` loads `Splits` of raw values, in memory or as `Rows` that are read when asked for; a `Space` maps
raw values to x_0 and back. What examples are given is found by a `ConditionSource`, of `CONDITIONS`. To add
a data set, write one file with one `Source` and put its name in `SOURCES`: recipes and the command line find
it there.
"""

from undiffuse.data.arrays import Array
from undiffuse.data.cell import Cell
from undiffuse.data.cells import CellSpace
from undiffuse.data.cifar10 import CIFAR10
from undiffuse.data.columns import Columns
from undiffuse.data.conditioned import Values
from undiffuse.data.conditions import CONDITIONS, ConditionSource, conditioned
from undiffuse.data.continuous import noise_of
from undiffuse.data.dead_leaves import DeadLeaves
from undiffuse.data.dequantize import UniformNoise, check_width, dequantized
from undiffuse.data.digits import Digits
from undiffuse.data.fingerprint import Fingerprint, changes, fingerprint_of, summary
from undiffuse.data.heartbeat import Heartbeat
from undiffuse.data.hub import Hub
from undiffuse.data.idx import IDX, read_idx
from undiffuse.data.images import Images
from undiffuse.data.mnist import MNIST, FashionMNIST
from undiffuse.data.npy import read_npy, read_npz
from undiffuse.data.patches import Patches
from undiffuse.data.pictures import read_image
from undiffuse.data.rotated_digits import RotatedDigits
from undiffuse.data.rows import Examples, Rows, chunks, ends, sample_of
from undiffuse.data.shards import Shards
from undiffuse.data.source import Source, Splits
from undiffuse.data.space import Affine, Levels, Space, Symbols, space_from, space_of
from undiffuse.data.swiss_roll import SwissRoll
from undiffuse.data.table import Table
from undiffuse.data.textures import Photographs, Textures
from undiffuse.data.watched import set_aside

SOURCES: dict[str, type[Source]] = {
    "swiss-roll": SwissRoll,
    "heartbeat": Heartbeat,
    "dead-leaves": DeadLeaves,
    "textures": Textures,
    "photographs": Photographs,
    "patches": Patches,
    "digits": Digits,
    "rotated-digits": RotatedDigits,
    "mnist": MNIST,
    "fashion-mnist": FashionMNIST,
    "cifar10": CIFAR10,
    "images": Images,
    "shards": Shards,
    "hub": Hub,
    "array": Array,
    "table": Table,
    "columns": Columns,
    "idx": IDX,
}

__all__ = [
    "CIFAR10",
    "CONDITIONS",
    "IDX",
    "MNIST",
    "SOURCES",
    "Affine",
    "Array",
    "Cell",
    "CellSpace",
    "Columns",
    "ConditionSource",
    "DeadLeaves",
    "Digits",
    "Examples",
    "FashionMNIST",
    "Fingerprint",
    "Heartbeat",
    "Hub",
    "Images",
    "Levels",
    "Patches",
    "Photographs",
    "RotatedDigits",
    "Rows",
    "Shards",
    "Source",
    "Space",
    "Splits",
    "SwissRoll",
    "Symbols",
    "Table",
    "Textures",
    "UniformNoise",
    "Values",
    "changes",
    "check_width",
    "chunks",
    "conditioned",
    "dequantized",
    "ends",
    "fingerprint_of",
    "noise_of",
    "read_idx",
    "read_image",
    "read_npy",
    "read_npz",
    "sample_of",
    "set_aside",
    "space_from",
    "space_of",
    "summary",
]
