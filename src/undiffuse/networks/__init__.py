"""Networks: tensors in, tensors out. A network is any module (x_t, t) -> output."""

from torch import nn

from undiffuse.networks.mixture import MixtureDenoiser
from undiffuse.networks.mlp import MLP
from undiffuse.networks.unet import UNet

NETWORKS: dict[str, type[nn.Module]] = {"mlp": MLP, "unet": UNet}

__all__ = ["MLP", "NETWORKS", "MixtureDenoiser", "UNet"]
