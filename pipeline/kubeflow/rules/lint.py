"""Static checks of a compiled workflow, without a cluster."""

import pathlib
from collections.abc import Mapping
from typing import Any

from models.errors import BAD_INPUT, OK
from pipeline.console import messages
from pipeline.kubeflow.argo import locations, workflow_schema
from pipeline.kubeflow.argo.calls import calls
from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.rules import dependencies, leaks, pod_specs, steps, variables


def check(path: pathlib.Path) -> list[str]:
    """Checks a workflow.

    Args:
        path: the YAML file.

    Returns:
        One line per problem: the location, what was found and what was expected.

    Raises:
        UserError: the file is not a workflow.
    """
    return findings(Manifest.load(path).content)


def findings(workflow: Mapping[str, Any]) -> list[str]:
    """Returns the problems of a workflow that is already loaded; see `check`."""
    problems = workflow_schema.check(workflow)
    if not problems:
        # These rules rely on types that match the schema.
        without_nulls = locations.without_nulls(workflow)
        for rules in (dependencies, pod_specs, variables, steps):
            problems += rules.check(without_nulls)
    return list(dict.fromkeys(problems + leaks.check(workflow)))


def check_command(path: pathlib.Path) -> int:
    """Checks a workflow and prints the problems.

    Args:
        path: the YAML file.

    Returns:
        An exit code of `models.errors`.

    Raises:
        UserError: the file is not a workflow.
    """
    workflow = Manifest.load(path).content
    problems = findings(workflow)
    shown = messages.shown(path)
    if problems:
        for line in problems:
            print(f"{shown}: {line}")
        return BAD_INPUT
    templates = list(locations.templates(workflow))
    count = sum(len(calls(location, template)) for location, template in templates)
    print(f"{shown}: {len(templates)} templates, {count} steps: no problems found")
    return OK
