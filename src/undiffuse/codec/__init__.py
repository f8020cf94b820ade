"""A model as a compressor: files of about as many bits as the bound says, lossless or progressive.

compress(model, x) -> bytes;  decompress(model, data) -> x;  inspect(data) -> Header
"""

from undiffuse.codec.account import Account, account
from undiffuse.codec.chain import Plan, planned
from undiffuse.codec.container import CODERS, VALUES, Header, unpack
from undiffuse.codec.files import (
    METHODS,
    candidates,
    check_model,
    choose,
    compress,
    count_calls,
    count_decoding,
    decompress,
    prepared,
)
from undiffuse.codec.planning import Trade

__all__ = [
    "CODERS",
    "METHODS",
    "VALUES",
    "Account",
    "Header",
    "Plan",
    "Trade",
    "account",
    "candidates",
    "check_model",
    "choose",
    "compress",
    "count_calls",
    "count_decoding",
    "decompress",
    "planned",
    "prepared",
    "unpack",
]
