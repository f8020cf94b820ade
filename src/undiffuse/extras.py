"""Packages that only some uses need, and how to install them: by name, from where pip finds them."""

EXTRAS = {  # as in pyproject.toml
    "codec": "constriction>=0.4.2",
    "hub": "datasets>=3.0",
    "video": "imageio-ffmpeg>=0.6",
    "tensorboard": "tensorboard>=2.18",
    "wandb": "wandb>=0.22",
    "trackio": "trackio>=0.20",
    "textures": "scikit-image>=0.25",
    "tables": "pandas>=2.2.2",
    "sklearn": "scikit-learn>=1.6",
    "parquet": "pyarrow>=17",
}


def install(extra: str) -> str:
    """The command that installs what an extra needs, wherever undiffuse itself came from."""
    return f"pip install '{EXTRAS[extra]}'"
