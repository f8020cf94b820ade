"""Models as the files of another library, diffusers, and back; that library is not needed for it."""

from undiffuse.interop import chain, chain_config, folder, layers, unet_arguments, unet_config
from undiffuse.interop.config import Config

__all__ = ["Config", "chain", "chain_config", "folder", "layers", "unet_arguments", "unet_config"]
