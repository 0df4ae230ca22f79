"""Machine learning: features, preprocessing, Keras networks, heads, model_fns and training."""

import importlib
import typing

_FORMER_NAMES = {
    "heads": "models.toolbox.heads",
    "mirrored": "models.distributed.mirrored",
    "networks": "models.toolbox.networks",
    "optimizers": "models.toolbox.optimizers",
}

if not typing.TYPE_CHECKING:

    def __getattr__(name: str):
        """Imports modules that a user's older `model_fn` imports by their former names."""
        if name in _FORMER_NAMES:
            return importlib.import_module(_FORMER_NAMES[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
