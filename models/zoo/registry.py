"""Registry of models: ours have short names, the user's own are named by dotted path.

A model is a function with one of two signatures:

- `model_fn(features, labels, mode, params, config) -> EstimatorSpec`, the Estimator's contract;
- `estimator(params, config) -> Estimator`, a factory, as used for premade estimators and converted
  Keras models.

`params` holds `context` (a `Context`) and the configuration's `model.params`; `config` is the
`RunConfig`, with the model directory and the seed.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.diagnostics import graph_checks, model_errors, source_lines
from models.errors import UserError, nearest
from models.toolbox.context import Context
from models.toolbox.params import CONTEXT, parse_params

MODELS = {
    "tabm": "models.zoo.tabm.model_fn",
    "mlp": "models.zoo.mlp.model_fn",
    "wide_deep": "models.zoo.wide_deep.model_fn",
    "sequence": "models.zoo.sequence.model_fn",
    "premade.linear": "models.zoo.premade.linear.estimator",
    "premade.dnn": "models.zoo.premade.dnn.estimator",
    "premade.dnn_linear_combined": "models.zoo.premade.dnn_linear_combined.estimator",
    "keras.mlp": "models.zoo.keras.mlp.estimator",
}
"""Dotted path of the function behind each registered name."""

ON_ONE_DEVICE = ("keras.mlp", "premade.dnn_linear_combined")
"""Models that replicas cannot train; their `estimator` functions say why."""

_MODEL_FN = ["features", "labels", "mode", "params", "config"]
_ESTIMATOR = ["params", "config"]


def estimator(name: str, params: Mapping[str, Any], config: Any):
    """Builds the Estimator of a model.

    Args:
        name: a registered name or a dotted path.
        params: `context` and the model's parameters.
        config: the `RunConfig`.

    Raises:
        UserError: see `load`; or the model rejects its parameters.
    """
    function = load(name)
    if _arguments(function) == _MODEL_FN and CONTEXT in params and is_user_model(name):
        function = graph_checks.checked(function, params[CONTEXT].labels[0])
    elif _arguments(function) == _ESTIMATOR:
        # Keras numbers unnamed layers across the whole process: without a reset, a second model's
        # layers would not match the names in the checkpoints of the first.
        tf.keras.backend.reset_uids()
        return function(params, config)
    return estimator_api.Estimator(function, params=dict(params), config=config)


def is_user_model(name: str) -> bool:
    """Returns whether a model is the user's own."""
    return name not in MODELS


def is_model_fn(name: str) -> bool:
    """Returns whether a model is a `model_fn` rather than a factory of Estimators.

    Raises:
        UserError: see `load`.
    """
    return _arguments(load(name)) == _MODEL_FN


def user_folders(name: str) -> tuple[pathlib.Path, ...]:
    """Returns the folders that hold a user's model (its package or file); none for our models.

    Raises:
        UserError: see `load`.
    """
    if not is_user_model(name):
        return ()
    load(name)
    return _folders(name.partition(".")[0])


def _folders(module_name: str) -> tuple[pathlib.Path, ...]:
    """Returns the folders of a module or package, even if importing it fails."""
    spec = importlib.util.find_spec(module_name)
    if spec is None:
        return ()
    locations = spec.submodule_search_locations or [os.path.dirname(spec.origin or "")]
    return tuple(pathlib.Path(folder).absolute() for folder in locations if folder)


def load(name: str) -> Callable[..., Any]:
    """Imports the function of a model.

    Raises:
        UserError: the module cannot be imported, has no such function, or the function's
            arguments are not those of a `model_fn` or an `estimator`.
    """
    path = _dotted_path(name)
    module_name, _, function_name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UserError(f"model.name: {path}: {_why_not_imported(module_name, error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"model.name: {path}: module {module_name} has no {function_name}()")
    if _arguments(function) not in (_MODEL_FN, _ESTIMATOR):
        raise UserError(
            f"model.name: {path}: expected {function_name}({', '.join(_MODEL_FN)}) or "
            f"{function_name}({', '.join(_ESTIMATOR)}), "
            f"found {function_name}({', '.join(_arguments(function))})"
        )
    return function


def _why_not_imported(module_name: str, error: BaseException) -> str:
    """Explains in one line why a user's module cannot be imported, and where in their files."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    remedy = "; put the file beside the configuration or install its package"
    if missing and f"{module_name}.".startswith(f"{missing}."):
        return f"cannot import {missing}{remedy}"
    where = source_lines.line_behind(error, _folders(module_name.partition(".")[0]))
    what = f"cannot import {missing or module_name}{f' ({where})' if where else ''}"
    if missing:
        return f"{what}{remedy}"
    if isinstance(error, SystemExit):
        return f"{what}: sys.exit({error.code!r}) ends the run; remove it"
    return f"{what}: {type(error).__name__}: {model_errors.reason(error)}"


def parameters(
    name: str, params: Mapping[str, Any], context: Context | None = None
) -> dict[str, Any]:
    """Returns a model's parameters, including all defaults if its module declares `Params`.

    Args:
        name: a registered name or a dotted path.
        params: the parameters in the configuration, without `context`.
        context: fills in the defaults that depend on it, if the module has a function
            `settled(params, context)`, as `tabm` has.

    Raises:
        UserError: see `load` and `params.parse_params`.
    """
    module = inspect.getmodule(load(name))
    declared = getattr(module, "Params", None)
    if declared is None:
        return dict(params)
    parsed = parse_params(declared, params)
    settled = getattr(module, "settled", None)
    if context is not None and settled is not None:
        parsed = settled(parsed, context)
    return dataclasses.asdict(parsed)


def check(name: str, params: Mapping[str, Any]) -> None:
    """Loads a model, and checks its parameters if its module declares `Params`.

    Raises:
        UserError: see `load` and `params.parse_params`.
    """
    parameters(name, params)


def _dotted_path(name: str) -> str:
    if name in MODELS:
        return MODELS[name]
    kind = name.partition(".")[0]
    if "." in name and kind not in ("premade", "keras"):
        return name
    raise UserError(
        f"model.name: no registered model is called {name}{nearest(name, MODELS)}; name your "
        "own by the dotted path of its model_fn, such as my_model.model_fn"
    )


def _arguments(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)
