"""Which model a file is of, and whether it predicts here what it predicted there."""

import hashlib

import numpy as np
import torch

from undiffuse.codec.chain import Chain
from undiffuse.codec.coder import filler
from undiffuse.model import Denoiser
from undiffuse.tensors import dims

FINE, CLOSE = 2**13, 1e-4


def model_hash(model: Denoiser) -> bytes:
    """8 bytes of the SHA-256 of its weights, and of what it is given if it is given anything."""
    found = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    if model.condition is not None:
        found.update(model.condition.digest())
    return found.digest()[:8]


def canary(chain: Chain) -> bytes:
    """8 bytes of the mean of the chain's first, middle and last step from fixed numbers, to four digits.

    It differs where the kernel, the parameterization or the arithmetic does.
    """
    found = hashlib.sha256()
    noise = filler(dims(chain.shape)).astype(np.int64)
    chain = chain.rows(slice(0, 1))
    for i in sorted({1, (len(chain) + 1) // 2, len(chain)}):
        low, high = chain.alphabets[i].ends
        values = chain.alphabets[i].values((low + noise % (high - low + 1)).astype(np.int32))
        mean = chain.back(i, chain.tensor(values)).mean.double().cpu().numpy().ravel() * FINE
        past = mean - np.floor(mean) - 0.5
        told = np.where(np.abs(past) < CLOSE, 0, np.rint(mean))  # what is close to an edge may go either way
        found.update(np.nan_to_num(told).astype("<i8").tobytes())
    return found.digest()[:8]
