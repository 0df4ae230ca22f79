"""Models by name: ours by a short one, the user's own by dotted path.

A model is a function of one of two forms:

- `model_fn(features, labels, mode, params, config) -> EstimatorSpec`, the Estimator's contract;
- `estimator(params, config) -> Estimator`, for estimators that are made whole, as the premade ones
  and converted Keras models are.

`params` holds `context` (a `Context`) and the configuration's `model.params`; `config` is the
`RunConfig`, with the directory and the seed.
"""

import dataclasses
import difflib
import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.context import Context
from models.params import parse_params

MODELS = {
    "tabm": "models.tabm.model_fn",
    "mlp": "models.mlp.model_fn",
    "wide_deep": "models.wide_deep.model_fn",
    "sequence": "models.sequence.model_fn",
    "premade.linear": "models.premade.linear.estimator",
    "premade.dnn": "models.premade.dnn.estimator",
    "premade.dnn_linear_combined": "models.premade.dnn_linear_combined.estimator",
    "keras.mlp": "models.keras_models.mlp.estimator",
}
"""Registered names and the function behind each."""

ON_ONE_DEVICE = ("keras.mlp", "premade.dnn_linear_combined")
"""Those that cannot be trained by replicas; what makes them says why."""

_MODEL_FN = ["features", "labels", "mode", "params", "config"]
_ESTIMATOR = ["params", "config"]


def estimator(name: str, params: Mapping[str, Any], config: Any):
    """Makes the Estimator of a model.

    Args:
        name: a registered name or a dotted path.
        params: with `context`.
        config: the `RunConfig`.

    Raises:
        ValueError: see `load`, and what the model refuses of its parameters.
    """
    function = load(name)
    if _arguments(function) == _ESTIMATOR:
        # Keras counts layers without a name through the process: those of a second model would
        # have other names than the checkpoints of the first.
        tf.keras.backend.reset_uids()
        return function(params, config)
    return estimator_api.Estimator(function, params=dict(params), config=config)


def load(name: str) -> Callable[..., Any]:
    """Imports the function of a model.

    Raises:
        ValueError: there is no such module or function, or it takes other arguments than those of
            a `model_fn` or an `estimator`.
    """
    path = _dotted_path(name)
    module_name, _, function_name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"model.name: {path}: cannot import {error.name}; put the file beside the "
            "configuration or install its package"
        ) from error
    except Exception as error:
        # Whatever the user's module raises is the user's to mend; the place is what helps.
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = (
            error if isinstance(error, SyntaxError) else f"{last.filename}:{last.lineno}: {error}"
        )
        raise ValueError(
            f"model.name: {path}: cannot import {module_name}: {type(error).__name__}: {place}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"model.name: {path}: module {module_name} has no {function_name}()")
    if _arguments(function) not in (_MODEL_FN, _ESTIMATOR):
        raise ValueError(
            f"model.name: {path}: expected {function_name}({', '.join(_MODEL_FN)}) or "
            f"{function_name}({', '.join(_ESTIMATOR)}), "
            f"found {function_name}({', '.join(_arguments(function))})"
        )
    return function


def parameters(
    name: str, params: Mapping[str, Any], context: Context | None = None
) -> dict[str, Any]:
    """A model's parameters: those given and, if its module declares `Params`, all defaults.

    Args:
        name: a registered name or a dotted path.
        params: without `context`.
        context: settles the defaults that depend on it, if the module has a function
            `settled(params, context)`, as `tabm` has.

    Raises:
        ValueError: see `load` and `params.parse_params`.
    """
    module = inspect.getmodule(load(name))
    declared = getattr(module, "Params", None)
    if declared is None:
        return dict(params)
    found = parse_params(declared, params)
    settled = getattr(module, "settled", None)
    if context is not None and settled is not None:
        found = settled(found, context)
    return dataclasses.asdict(found)


def check(name: str, params: Mapping[str, Any]) -> None:
    """Loads a model and checks its parameters, if its module declares them in `Params`.

    Raises:
        ValueError: see `load` and `params.parse_params`.
    """
    parameters(name, params)


def _dotted_path(name: str) -> str:
    if name in MODELS:
        return MODELS[name]
    kind = name.partition(".")[0]
    if "." in name and kind not in ("premade", "keras"):
        return name
    close = difflib.get_close_matches(name, MODELS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(
        f"model.name: no registered model is called {name}; {hint}(registered: "
        f"{', '.join(MODELS)}; or the dotted path of a model_fn, as my_model.model_fn)"
    )


def _arguments(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)
