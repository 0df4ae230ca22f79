"""Checks of the parameters given to a run, so that no step fails on them hours later."""

from collections.abc import Mapping

from models.errors import UserError
from pipeline.config import gates
from pipeline.config.configuration import Config
from pipeline.config.kubeflow_config import Kubeflow, misplaced
from pipeline.kubeflow.parameter_names import (
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
        UserError: a value is wrong; the message has one line per parameter.
    """
    mistakes = [f"--param {name}: is empty" for name, value in given.items() if not value.strip()]
    mistakes += [
        f"--param {name}: found {{{{ in {value!r}, which Argo reads as the start of a "
        "variable; remove it"
        for name, value in given.items()
        if "{{" in value and name != GATES  # in JSON `literal` escapes it
    ]
    if given.get(NEW_BASELINE, "").strip() and config.gates is None:
        mistakes.append(f"--param {NEW_BASELINE}: {gates.NOTHING_COMPARED}")
    steps = given.get(MAX_STEPS, "0")
    if steps.strip() and not steps.isdecimal():
        mistakes.append(
            f"--param {MAX_STEPS}: found {steps!r}, expected a whole number; 0 keeps the "
            "configured length"
        )
    if given.get(GATES, "").strip():
        if config.gates is None:
            never = f"the configuration has gates: {gates.NEVER}"
            mistakes.append(f"--param {GATES}: {never}; give it bounds, and compile again")
        else:
            try:
                config.criteria.with_gates(given[GATES])
            except ValueError as error:
                mistakes.append(f"--param {error}")
    if mistakes:
        raise UserError("\n".join(mistakes))


def check_directories(kubeflow: Kubeflow, given: Mapping[str, str]) -> None:
    """Checks that all steps on a cluster can reach the given directories.

    Raises:
        UserError: they cannot; the message has one line per directory.
    """
    shared = {name: given.get(name) for name in (PIPELINE_ROOT, TRAINING_ROOT, SERVING_DIRECTORY)}
    data = given.get(DATA_DIRECTORY, "")
    if data.startswith("/") or "://" in data:  # otherwise a folder in the image
        shared[DATA_DIRECTORY] = data
    mistakes = {
        name: misplaced(location, kubeflow.volumes, name != DATA_DIRECTORY)
        for name, location in shared.items()
        if location
    }
    if any(mistakes.values()):
        lines = [f"--param {name}: {mistake}" for name, mistake in mistakes.items() if mistake]
        raise UserError("\n".join(lines))
