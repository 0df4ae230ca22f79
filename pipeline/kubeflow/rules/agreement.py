"""Rules for how steps fit together: with each other, with their tasks and with a run's values.

The nodes' intermediate representations (IR) must agree with the workflow and with each other: each
has the same upstream nodes in both, and reads what other nodes write.
"""

import collections
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from models.errors import nearest
from pipeline.config.yaml_file import shown
from pipeline.kubeflow.argo import locations
from pipeline.kubeflow.argo.calls import Call, calls
from pipeline.kubeflow.argo.step_arguments import Step, variable_of
from pipeline.kubeflow.parameter_names import PIPELINE_ROOT, SERVING_DIRECTORY, TRAINING_ROOT
from pipeline.kubeflow.step_container import POD_NAME, STEP_COMMAND

_NUMBERS: Mapping[str, type] = {"INT": int, "DOUBLE": float}
_SAME = ("image", "env", "envFrom", "volumeMounts", "volumes")
_KEPT = (PIPELINE_ROOT, TRAINING_ROOT, SERVING_DIRECTORY)
"""The parameters with the directories to which a run writes."""
_DESCRIPTION = "pipelines.kubeflow.org/pipeline_spec"
_CONDITIONS = ("when", "continueOn", "withItems", "withParam", "withSequence")
_ALL_OF = re.compile(r"([-\w]+(\.Succeeded)?(\s*&&\s*[-\w]+(\.Succeeded)?)*)?")


def check(workflow: Mapping[str, Any], steps: Mapping[str, Step]) -> list[str]:
    """Returns the problems of steps that do not fit together.

    Args:
        workflow: the workflow.
        steps: the steps by the name of their template.
    """
    return list(_check(workflow, steps))


def _check(workflow: Mapping[str, Any], steps: Mapping[str, Step]) -> Iterator[str]:
    if not steps:
        yield f"{locations.TEMPLATES}: none runs a step of the pipeline ({' '.join(STEP_COMMAND)})"
    yield from locations.twice(
        f"{locations.TEMPLATES}: --node_id", [step.node_id for step in steps.values()]
    )
    pipelines = {step.ir.get("pipelineInfo", {}).get("id", "") for step in steps.values()}
    if len(pipelines) > 1:
        names = ", ".join(sorted(pipelines))
        yield f"{locations.TEMPLATES}: found steps of pipelines {names}, expected one pipeline"
    yield from _alike(workflow, steps)
    yield from _kept(workflow, steps)
    yield from _described(workflow)
    by_node = {step.node_id: step for step in steps.values()}
    for step in steps.values():
        yield from _channels(step, by_node)
        yield from _numbers(workflow, step)
    for location, template in locations.templates(workflow):
        tasks = calls(location, template)
        runs = {call.name: steps[call.template or ""] for call in tasks if call.template in steps}
        nodes = {name: step.node_id for name, step in runs.items()}
        for call in tasks:
            if call.name in runs:
                yield from _task(call, runs[call.name], nodes)


def _alike(workflow: Mapping[str, Any], steps: Mapping[str, Step]) -> Iterator[str]:
    """Checks that all steps have the same image, variables and volumes, as they share files."""
    templates = [
        (location, entry)
        for location, entry in locations.templates(workflow)
        if entry["name"] in steps
    ]
    for key in _SAME:
        values = {}
        for location, template in templates:
            holder = template if key == "volumes" else template["container"]
            inner = f"{location}.{key}" if key == "volumes" else f"{location}.container.{key}"
            value = holder.get(key)
            if key == "env":  # which one step may have, see `tfjobs`
                value = [variable for variable in value or () if variable["name"] != POD_NAME]
            values[inner] = json.dumps(value, sort_keys=True)
        most = collections.Counter(values.values()).most_common(1)
        yield from (
            f"{inner}: differs from the other steps'"
            for inner, value in values.items()
            if value != most[0][0]
        )


def _kept(workflow: Mapping[str, Any], steps: Mapping[str, Step]) -> Iterator[str]:
    """Checks that local directories are on a volume: everything else is lost with the container."""
    mounts = [
        mount["mountPath"].rstrip("/")
        for _, template in locations.templates(workflow)
        if template["name"] in steps
        for mount in template["container"].get("volumeMounts") or ()
    ]
    arguments = (workflow["spec"].get("arguments") or {}).get("parameters")
    for location, argument in locations.entries("spec.arguments.parameters", arguments):
        value = argument.get("value", "")
        relative = argument["name"] in _KEPT and "://" not in value and not value.startswith("/")
        outside = value.startswith("/") and not any(
            f"{value}/".startswith(f"{mount}/") for mount in mounts
        )
        if relative or outside:
            have = ", ".join(sorted(set(mounts))) or "there are none"
            yield (
                f"{location}.value: found {shown(value)}, which is on none of the volumes ({have})"
            )


def _described(workflow: Mapping[str, Any]) -> Iterator[str]:
    """Checks that Kubeflow Pipelines displays exactly the workflow's parameters."""
    text = (workflow["metadata"].get("annotations") or {}).get(_DESCRIPTION)
    if text is None:
        return
    arguments = (workflow["spec"].get("arguments") or {}).get("parameters") or ()
    expected = {argument["name"] for argument in arguments}
    try:
        displayed = {item["name"] for item in json.loads(text).get("inputs") or ()}
    except (ValueError, AttributeError, KeyError, TypeError):
        displayed = None
    if displayed != expected:
        yield (
            f"metadata.annotations.{_DESCRIPTION}: expected JSON with the inputs {_list(expected)}"
        )


def _channels(step: Step, by_node: Mapping[str, Step]) -> Iterator[str]:
    """Checks that a node's inputs are outputs of its upstream nodes."""
    for name, node_input in (step.node.get("inputs", {}).get("inputs") or {}).items():
        where = f"{step.location} --tfx_ir: input {name} of {step.node_id}"
        for channel in node_input.get("channels") or ():
            producer = (channel.get("producerNodeQuery") or {}).get("id")
            if producer is None:
                continue
            if producer not in step.upstream:
                yield f"{where} comes from {producer}, which is not among its upstream nodes"
            elif producer in by_node:
                node = by_node[producer].node
                outputs = node.get("outputs", {}).get("outputs") or {}
                key = channel.get("outputKey", "")
                # The outputs of a resolver are only known during a run.
                if key not in outputs and "inputGraphs" not in node.get("inputs", {}):
                    yield f"{where}: {producer} has no output {key}{nearest(key, outputs)}"


def _numbers(workflow: Mapping[str, Any], step: Step) -> Iterator[str]:
    """Checks that the defaults of numeric parameters can be read as numbers."""
    arguments = (workflow["spec"].get("arguments") or {}).get("parameters") or ()
    for argument in arguments:
        number_type = _NUMBERS.get(step.used.get(argument["name"], ""))
        value = argument.get("value")
        if number_type is None or value is None:
            continue
        try:
            number_type(value)
        except ValueError:
            location = f"spec.arguments.parameters.{argument['name']}.value"
            kind = step.used[argument["name"]]
            yield f"{location}: found {value!r}, expected {kind} for node {step.node_id}"


def _task(call: Call, step: Step, nodes: Mapping[str, str]) -> Iterator[str]:
    node_ids = {nodes.get(name, name) for name in call.dependencies}
    if node_ids != step.upstream:
        yield (
            f"{call.location}.dependencies: found {_list(node_ids)}, expected "
            f"{_list(step.upstream)}, the upstream nodes of {step.node_id} in the IR"
        )
    for key in _CONDITIONS:
        if call.body.get(key):
            value = shown(call.body[key])
            yield f"{call.location}.{key}: found {value}, expected a node to run once"
    if not _ALL_OF.fullmatch(call.body.get("depends") or ""):
        yield f"{call.location}.depends: expected names joined by &&, all of which must succeed"
    for argument in (call.body.get("arguments") or {}).get("parameters") or ():
        name, value = argument["name"], argument.get("value")
        if value != variable_of(name):
            location = f"{call.location}.arguments.parameters.{name}.value"
            yield f"{location}: found {value!r}, expected {variable_of(name)}"


def _list(names: set[str] | frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
