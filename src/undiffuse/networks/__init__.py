"""Networks: tensors in, tensors out. A network is any module (x_t, t) -> output."""

from collections.abc import Callable

from torch import nn

from undiffuse.networks.annotated import AnnotatedUNet
from undiffuse.networks.attention import ATTENTIONS, Attend
from undiffuse.networks.blocks import BLOCKS, Block
from undiffuse.networks.columns import ColumnTransformer
from undiffuse.networks.mixture import MixtureDenoiser
from undiffuse.networks.mlp import MLP
from undiffuse.networks.multiscale import MultiScale
from undiffuse.networks.own import own
from undiffuse.networks.presets import ddpm_256, ddpm_cifar10
from undiffuse.networks.rbf import RBF
from undiffuse.networks.sigmoid_mlp import SigmoidMLP
from undiffuse.networks.unet import UNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "unet": UNet,
    "ddpm-cifar10": ddpm_cifar10,
    "ddpm-256": ddpm_256,
    "annotated": AnnotatedUNet,
    "rbf": RBF,
    "sigmoid-mlp": SigmoidMLP,
    "multi-scale": MultiScale,
    "column-transformer": ColumnTransformer,
    "own": own,
}

__all__ = [
    "ATTENTIONS",
    "BLOCKS",
    "MLP",
    "NETWORKS",
    "RBF",
    "AnnotatedUNet",
    "Attend",
    "Block",
    "ColumnTransformer",
    "MixtureDenoiser",
    "MultiScale",
    "SigmoidMLP",
    "UNet",
    "ddpm_256",
    "ddpm_cifar10",
]
