"""Models by name: ours by a short one, the user's own by dotted path."""

import difflib
import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from models.params import parse_params

MODELS = {"wide_deep": "models.wide_deep.model_fn"}
"""Registered names and the `model_fn` behind each."""

_ARGUMENTS = ["features", "labels", "mode", "params", "config"]


def dotted_path(name: str) -> str:
    """The dotted path of a model's `model_fn`.

    Raises:
        ValueError: not a registered name, and no dotted path either.
    """
    if "." in name:
        return name
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(
            f"model.name: no registered model is called {name}; {hint}(registered: "
            f"{', '.join(MODELS)}; or the dotted path of a model_fn, as my_model.model_fn)"
        )
    return MODELS[name]


def load(name: str) -> Callable[..., Any]:
    """Imports a model's `model_fn`.

    Raises:
        ValueError: there is no such module or function, or it does not take an Estimator's
            arguments.
    """
    path = dotted_path(name)
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
    model_fn = getattr(module, function_name, None)
    if not callable(model_fn):
        raise ValueError(f"model.name: {path}: module {module_name} has no {function_name}()")
    arguments = list(inspect.signature(model_fn).parameters)
    if arguments != _ARGUMENTS:
        raise ValueError(
            f"model.name: {path}: expected {function_name}({', '.join(_ARGUMENTS)}), "
            f"found {function_name}({', '.join(arguments)})"
        )
    return model_fn


def check(name: str, params: Mapping[str, Any]) -> None:
    """Loads a model and checks its parameters, if its module declares them in `Params`.

    Raises:
        ValueError: see `load` and `params.parse_params`.
    """
    declared = getattr(inspect.getmodule(load(name)), "Params", None)
    if declared is not None:
        parse_params(declared, params)
