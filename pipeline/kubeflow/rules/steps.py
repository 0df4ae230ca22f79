"""Rules for the arguments of steps, so that TFX's entry point accepts them.

Each step's arguments contain its node of the pipeline's intermediate representation (IR).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.kubeflow.argo import class_lookup, locations
from pipeline.kubeflow.argo.step_arguments import Step, Unreadable, read, variable_of
from pipeline.kubeflow.output_names import UI_METADATA
from pipeline.kubeflow.parameter_names import PIPELINE_ROOT
from pipeline.kubeflow.rules import agreement, tfjobs
from pipeline.kubeflow.step_container import STEP_COMMAND, TFJOB_FLAG

_RUN_ID = "pipeline-run-id"
"""The only parameter that TFX's entry point sets itself, from a variable of the container."""
_RUN_ID_VARIABLE = "WORKFLOW_ID"
_RUN_ID_FIELD = "metadata.labels['workflows.argoproj.io/workflow']"
_CACHING = "pipelines.kubeflow.org/enable_caching"


def check(workflow: Mapping[str, Any]) -> list[str]:
    """Returns the problems of the steps' arguments and IR."""
    problems: list[str] = []
    steps: dict[str, Step] = {}
    for location, template in locations.templates(workflow):
        container = template.get("container") or {}
        args = container.get("args") or ()
        if STEP_COMMAND[-1] not in (container.get("command") or ()) and "--tfx_ir" not in args:
            continue
        try:
            step = steps[template["name"]] = read(f"{location}.container.args", args)
        except Unreadable as error:
            problems.append(str(error))
            continue
        problems += _container(location, template, step)
        problems += _parameters(step)
        problems += _classes(step)
        if step.tfjob is not None:
            problems += tfjobs.check(f"{step.location} {TFJOB_FLAG}", step.tfjob, template)
    # Whether the steps fit together is only checked if each of them is correct.
    return problems or agreement.check(workflow, steps)


def _container(location: str, template: Mapping[str, Any], step: Step) -> Iterator[str]:
    container = template["container"]
    command = container.get("command") or []
    if command != list(STEP_COMMAND):
        command_text, expected = " ".join(command) or "none", " ".join(STEP_COMMAND)
        yield f"{location}.container.command: found {command_text}, expected {expected}"
    variables = {variable["name"]: variable for variable in container.get("env") or ()}
    source = variables.get(_RUN_ID_VARIABLE, {}).get("valueFrom") or {}
    if (source.get("fieldRef") or {}).get("fieldPath") != _RUN_ID_FIELD:
        yield f"{location}.container.env.{_RUN_ID_VARIABLE}: expected a fieldRef to {_RUN_ID_FIELD}"
    if not variables.get("PYTHONPATH", {}).get("value"):
        yield f"{location}.container.env.PYTHONPATH: missing; steps find the user's modules by it"
    for name in step.metadata_variables:
        if name not in variables and not container.get("envFrom"):
            yield f"{location}.container.env.{name}: missing; --kubeflow_metadata_config reads it"
    labels = (template.get("metadata") or {}).get("labels") or {}
    if labels.get(_CACHING) != "false":
        # Unlike TFX's cache, the installation's may return artifacts that no longer exist.
        yield f"{location}.metadata.labels.{_CACHING}: expected 'false'"
    if template.get("daemon"):
        yield f"{location}.daemon: found true, so nothing would wait for the step"
    shown = (template.get("outputs") or {}).get("artifacts") or ()
    paths = [item.get("path") for item in shown if item["name"] == UI_METADATA]
    if paths != [step.ui_path]:
        yield (
            f"{location}.outputs.artifacts.{UI_METADATA}.path: "
            f"found {paths[0] if paths else 'none'}, "
            f"expected what --metadata_ui_path says, {step.ui_path}"
        )


def _parameters(step: Step) -> Iterator[str]:
    where = f"{step.location} --runtime_parameter"
    expected = {name: kind for name, kind in step.used.items() if name != _RUN_ID}
    for name, kind in expected.items():
        if name not in step.passed:
            yield f"{where}: {name} is missing; node {step.node_id} uses it"
        elif step.passed[name][0] != kind:
            yield f"{where} {name}: found type {step.passed[name][0]}, expected {kind} as in the IR"
    for name, (_, value) in step.passed.items():
        if name not in expected:
            yield f"{where}: {name} is passed, but node {step.node_id} does not use it"
        elif value != variable_of(name):
            yield f"{where} {name}: found {value!r}, expected {variable_of(name)}"
    if step.root != variable_of(PIPELINE_ROOT):
        expected_root = variable_of(PIPELINE_ROOT)
        yield f"{step.location} --pipeline_root: found {step.root!r}, expected {expected_root}"


def _classes(step: Step) -> Iterator[str]:
    deployment = step.ir.get("deploymentConfig") or {}
    for kind in ("executorSpecs", "customDriverSpecs"):
        specs = deployment.get(kind) or {}
        for name in specs:
            if name != step.node_id:
                yield f"{step.location} --tfx_ir: {kind} is of {name}, expected {step.node_id}"
        for path in locations.values(specs, "classPath"):
            if problem := class_lookup.missing(path):
                yield f"{step.location} --tfx_ir: {kind} of {step.node_id} names {path}: {problem}"
    if step.node_id not in (deployment.get("executorSpecs") or {}):
        yield f"{step.location} --tfx_ir: no executor for node {step.node_id}"
