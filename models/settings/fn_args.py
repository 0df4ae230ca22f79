"""TFX's `FnArgs` as JSON values, for the processes that train."""

from typing import Any

_FN_ARGS = ("train_files", "eval_files", "schema_path", "transform_output", "custom_config")


def to_json(fn_args) -> dict[str, Any]:
    """Returns the attributes of `FnArgs` that `Problem.of` reads, as JSON values."""
    values = {name: getattr(fn_args, name) for name in _FN_ARGS}
    return {**values, "hyperparameters": getattr(fn_args, "hyperparameters", None)}
