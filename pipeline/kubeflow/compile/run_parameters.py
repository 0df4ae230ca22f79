"""Checks of the parameters given to a run, so that no step fails on them hours later."""

import json
from collections.abc import Mapping
from typing import Any

import pydantic

from pipeline.config import gates
from pipeline.config.configuration import Bound, Config
from pipeline.config.kubeflow_config import misplaced
from pipeline.errors import UserError, nearest
from pipeline.kubeflow.names import (
    DATA_DIRECTORY,
    GATES,
    MAX_STEPS,
    NEW_BASELINE,
    PIPELINE_ROOT,
    SERVING_DIRECTORY,
    TRAINING_ROOT,
)


def literal(text: str) -> str:
    """Escapes `{{` in JSON, which Argo would take for the start of a variable.

    Valid JSON has `{{` only inside strings, where a brace may be escaped.
    """
    return text.replace("{{", "{\\u007b")


def check(config: Config, given: Mapping[str, str]) -> None:
    """Checks the values of a run's parameters as the steps would.

    Args:
        config: the problem's configuration.
        given: values by name; `Manifest.parameters` checks the names.

    Raises:
        UserError: a value is wrong; the message has one line per mistake.
    """
    mistakes = [f"--param {name}: is empty" for name, value in given.items() if not value.strip()]
    mistakes += [
        f"--param {name}: found {{{{ in {value!r}, which Argo takes for the beginning of a "
        "variable; write it without"
        for name, value in given.items()
        if "{{" in value and name != GATES  # in JSON `literal` escapes it
    ]
    if given.get(NEW_BASELINE, "").strip() and config.gates is None:
        mistakes.append(f"--param {NEW_BASELINE}: {gates.NOTHING_COMPARED}")
    steps = given.get(MAX_STEPS, "0")
    if steps.strip() and not steps.isdecimal():
        mistakes.append(
            f"--param {MAX_STEPS}: found {steps!r}, expected a whole number, 0 for the "
            "configuration's own"
        )
    if given.get(GATES, "").strip():
        mistakes += [f"--param {GATES}: {text}" for text in _gate_mistakes(config, given[GATES])]
    if mistakes:
        raise UserError("\n".join(mistakes))


def check_places(config: Config, given: Mapping[str, str]) -> None:
    """Checks that all steps on a cluster can reach the given directories.

    Raises:
        UserError: they cannot; the message has one line per directory.
    """
    assert config.kubeflow
    shared = {name: given.get(name) for name in (PIPELINE_ROOT, TRAINING_ROOT, SERVING_DIRECTORY)}
    data = given.get(DATA_DIRECTORY, "")
    if data.startswith("/") or "://" in data:  # otherwise a folder in the image
        shared[DATA_DIRECTORY] = data
    mistakes = {
        name: misplaced(place, config.kubeflow.volumes, name != DATA_DIRECTORY)
        for name, place in shared.items()
        if place
    }
    if any(mistakes.values()):
        lines = [f"--param {name}: {mistake}" for name, mistake in mistakes.items() if mistake]
        raise UserError("\n".join(lines))


def _gate_mistakes(config: Config, text: str) -> list[str]:
    try:
        bounds = json.loads(text)
    except ValueError:
        bounds = None
    if not isinstance(bounds, dict):
        return [f'found {text!r}, expected JSON as {{"rmse": {{"at_most": 115000}}}}']
    if config.gates is None:
        return [f"the configuration has gates: {gates.NEVER}; give it bounds, and compile it again"]
    mistakes = []
    metrics = gates.by_key(config.metrics)
    for metric, values in bounds.items():
        if metric not in config.gates:
            mistakes.append(f"{metric}: has no bound{nearest(metric, config.gates)}")
            continue
        if not isinstance(values, dict):
            mistakes.append(f"{metric}: expected keys and values, found {values!r}")
            continue
        try:
            bound = Bound.parse_obj(values)
        except pydantic.ValidationError as error:
            mistakes += [_explained(metric, found) for found in error.errors()]
            continue
        if bound.absolute is not None and (wrong := metrics[metric].out_of_reach(bound.absolute)):
            mistakes.append(f"{metric}.{metrics[metric].bound_key}: {wrong}")
        own = config.gates[metric]
        for key in ("at_most", "at_least"):
            if getattr(bound, key) is not None and getattr(own, key) is None:
                mistakes.append(f"{metric}: found {key}, which the configuration does not bound")
    return mistakes


def _explained(metric: str, found: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in (metric, *found["loc"]) if part != "__root__")
    if found["type"] == "value_error.extra":
        return f"{where}: unknown key{nearest(str(found['loc'][-1]), Bound.__fields__)}"
    if found["type"] == "type_error.dict":
        return f'{where}: expected keys and values, as {{"at_most": 115000}}'
    return f"{where}: {found['msg']}"
