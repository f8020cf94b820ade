"""Networks: tensors in, tensors out. A network is any module (x_t, t) -> output."""

from torch import nn

from undiffuse.networks.mixture import MixtureDenoiser
from undiffuse.networks.mlp import MLP
from undiffuse.networks.multiscale import MultiScale
from undiffuse.networks.rbf import RBF
from undiffuse.networks.sigmoid_mlp import SigmoidMLP
from undiffuse.networks.unet import UNet

NETWORKS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "unet": UNet,
    "rbf": RBF,
    "sigmoid-mlp": SigmoidMLP,
    "multi-scale": MultiScale,
}

__all__ = ["MLP", "NETWORKS", "RBF", "MixtureDenoiser", "MultiScale", "SigmoidMLP", "UNet"]
