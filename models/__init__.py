"""Machine learning: features, preprocessing, Keras networks, heads, model_fns and training."""

import importlib
import typing

if not typing.TYPE_CHECKING:

    def __getattr__(name: str):
        """Finds modules of `toolbox` where model_fns written before it existed import them."""
        if name in ("heads", "networks", "optimizers"):
            return importlib.import_module(f"models.toolbox.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
