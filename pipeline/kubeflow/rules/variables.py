"""Rule that every `{{variable}}` must be known to Argo where it is used."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from models.errors import nearest
from pipeline.kubeflow.argo import locations
from pipeline.kubeflow.argo.calls import Call, calls, reached

_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_WORKFLOW = (
    "workflow.name",
    "workflow.namespace",
    "workflow.uid",
    "workflow.serviceAccountName",
    "workflow.mainEntrypoint",
    "workflow.creationTimestamp",
    "workflow.creationTimestamp.RFC3339",
    "workflow.creationTimestamp.s",
    "workflow.scheduledTime",
    "workflow.duration",
    "workflow.parameters",
    "workflow.parameters.json",
    "workflow.annotations.json",
    "workflow.labels.json",
)
_OF_EXIT = {"workflow.status", "workflow.failures"}
_OF_METRICS = {
    "status",
    "duration",
    "exitCode",
    "resourcesDuration.cpu",
    "resourcesDuration.memory",
}
_OF_RETRIES = (
    "retries",
    "lastRetry.exitCode",
    "lastRetry.status",
    "lastRetry.duration",
    "lastRetry.message",
)
_OF_CALLS = (
    "id",
    "ip",
    "status",
    "exitCode",
    "startedAt",
    "finishedAt",
    "hostNodeName",
    "outputs.result",
    "outputs.parameters",
)


def check(workflow: Mapping[str, Any]) -> list[str]:
    """Returns the problems of variables; the workflow's metadata is not checked, as it has none."""
    return list(_check(workflow))


def _check(workflow: Mapping[str, Any]) -> Iterator[str]:
    spec = workflow["spec"]
    templates = {template["name"]: template for template in spec["templates"]}
    everywhere = _of_workflow(workflow)
    for key, value in spec.items():
        if key != locations.TEMPLATES:
            more = {"metrics": _OF_METRICS, "hooks": _OF_EXIT}.get(key, set())
            yield from _unknown(f"spec.{key}", value, everywhere | more)
    at_exit = reached([spec.get("onExit") or ""], templates)
    for location, template in locations.templates(workflow):
        scope = everywhere | _of_template(template)
        if template["name"] in at_exit:
            scope |= _OF_EXIT
        template_calls = calls(location, template)
        for call in template_calls:
            known = scope | _of_items(call.body)
            for other in template_calls:
                if other.name in call.upstream:
                    known |= _of_call(other, templates)
            yield from _unknown(call.location, call.body, known)
        for key, value in template.items():
            if key not in ("dag", "steps"):
                more = _OF_METRICS if key == "metrics" else set()
                if key == "outputs":
                    more = set().union(*(_of_call(call, templates) for call in template_calls))
                yield from _unknown(f"{location}.{key}", value, scope | more)


def _unknown(location: str, value: Any, scope: set[str]) -> Iterator[str]:
    for inner, text in locations.texts(location, value):
        for tag in _TAG.findall(text):
            name = tag.strip()
            if name.startswith("="):
                yield f"{inner}: found an expression, {{{{{tag}}}}}, expected a plain variable"
            elif name not in scope and not name.startswith("workflow.creationTimestamp."):
                alike = [known for known in scope if known.split(".")[0] == name.split(".")[0]]
                hint = nearest(name, sorted(alike)) if alike else ""
                yield f"{inner}: {{{{{name}}}}} is not known here{hint}"
        if "{{" in _TAG.sub("", text):
            yield f"{inner}: found {{{{ without }}}}"


def _of_workflow(workflow: Mapping[str, Any]) -> set[str]:
    spec, metadata = workflow["spec"], workflow["metadata"]
    scope = set(_WORKFLOW)
    arguments = spec.get("arguments") or {}
    scope |= {f"workflow.parameters.{item['name']}" for item in arguments.get("parameters") or ()}
    for kind in ("labels", "annotations"):
        scope |= {f"workflow.{kind}.{key}" for key in metadata.get(kind) or {}}
    if "priority" in spec:
        scope.add("workflow.priority")
    for template in spec["templates"]:
        for kind in ("parameters", "artifacts"):
            scope |= {
                f"workflow.outputs.{kind}.{item['globalName']}"
                for item in (template.get("outputs") or {}).get(kind) or ()
                if "globalName" in item
            }
    return scope


def _of_template(template: Mapping[str, Any]) -> set[str]:
    inputs, outputs = template.get("inputs") or {}, template.get("outputs") or {}
    scope = {"node.name", "pod.name", "tasks.name", "steps.name"}
    scope |= {f"inputs.parameters.{item['name']}" for item in inputs.get("parameters") or ()}
    if inputs.get("parameters"):
        scope.add("inputs.parameters")
    for item in inputs.get("artifacts") or ():
        name = f"inputs.artifacts.{item['name']}"
        scope |= {name, f"{name}.path"}
    scope |= {f"outputs.artifacts.{item['name']}.path" for item in outputs.get("artifacts") or ()}
    scope |= {f"outputs.parameters.{item['name']}.path" for item in outputs.get("parameters") or ()}
    if template.get("retryStrategy"):
        scope |= set(_OF_RETRIES)
    return scope


def _of_call(call: Call, templates: Mapping[str, Any]) -> set[str]:
    prefix = f"{call.group}.{call.name}"
    scope = {f"{prefix}.{name}" for name in _OF_CALLS}
    template = templates.get(call.template or "") or {}
    for kind in ("parameters", "artifacts"):
        for item in (template.get("outputs") or {}).get(kind) or ():
            scope.add(f"{prefix}.outputs.{kind}.{item['name']}")
    return scope


def _of_items(call: Mapping[str, Any]) -> set[str]:
    if not any(call.get(key) for key in ("withItems", "withParam", "withSequence")):
        return set()
    fields: set[str] = set()
    for item in call.get("withItems") or ():
        fields |= {f"item.{key}" for key in item} if isinstance(item, Mapping) else set()
    return {"item"} | fields
