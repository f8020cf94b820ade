"""A model as a compressor: files of about as many bits as the bound says, lossless or progressive.

compress(model, x) -> bytes;  decompress(model, data) -> x;  inspect(data) -> Header
"""

from undiffuse.codec.account import Account, account
from undiffuse.codec.chain import Plan, planned
from undiffuse.codec.coder import ready
from undiffuse.codec.container import CODERS, VALUES, Header, unpack
from undiffuse.codec.files import (
    METHODS,
    candidates,
    check_model,
    choose,
    compress,
    decompress,
    made_by,
    prepared,
)
from undiffuse.codec.planning import MANY, Option, Trade

__all__ = [
    "CODERS",
    "MANY",
    "METHODS",
    "VALUES",
    "Account",
    "Header",
    "Option",
    "Plan",
    "Trade",
    "account",
    "candidates",
    "check_model",
    "choose",
    "compress",
    "decompress",
    "made_by",
    "planned",
    "prepared",
    "ready",
    "unpack",
]
