"""An Argo Workflow as `run` sees it: templates, parameters and references.

Only fields that Kubeflow Pipelines' compiler writes are supported. Any other field is refused, as
ignoring it might change what the workflow does.
"""

import dataclasses
import operator
import re
from collections.abc import Mapping
from typing import Any

from models.errors import UserError, nearest
from pipeline.kubeflow.compile.workflow_file import Manifest

# The supported fields, including some that only a cluster can act on.
_SPEC = {"entrypoint", "templates", "arguments", "onExit", "volumes"} | {
    "serviceAccountName",
    "securityContext",
    "imagePullSecrets",
    "nodeSelector",
}
_TEMPLATE = {"name", "inputs", "outputs", "dag", "container", "retryStrategy", "volumes"} | {
    "metadata",
    "nodeSelector",
    "serviceAccountName",
}
_TASK = {"name", "template", "dependencies", "arguments", "when"}
_CONTAINER = {"command", "args", "env", "envFrom", "volumeMounts", "workingDir", "name"} | {
    "image",
    "imagePullPolicy",
    "resources",
}
_REFERENCE = re.compile(r"{{\s*([^{}]+?)\s*}}")
_COMPARISON = re.compile(r"""(["']?)(.*?)\1\s*(==|!=|<=|>=|<|>)\s*(["']?)(.*?)\4""")
_OPERATORS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclasses.dataclass(frozen=True)
class Workflow:
    """The parts of a workflow.

    Attributes:
        spec: the manifest's `spec`.
        templates: the templates by name.
    """

    spec: Mapping[str, Any]
    templates: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, manifest: Manifest) -> "Workflow":
        """Returns the parts of a compiled workflow.

        Raises:
            UserError: the workflow has a field that `run` does not support.
        """
        spec = manifest.content["spec"]
        templates = {template["name"]: template for template in spec["templates"]}
        for field in _unsupported(spec):
            raise UserError(f"{manifest.where}: {field}: `run` does not support this field")
        return cls(spec, templates)

    def steps(self) -> list[str]:
        """Returns the paths of all steps, in an order in which they could run."""
        paths = self._steps_below(self.spec["entrypoint"], "")
        if on_exit := self.spec.get("onExit"):
            paths += self._steps_below(on_exit, "") or [on_exit]
        return paths

    def _steps_below(self, name: str, path: str) -> list[str]:
        template = self.templates[name]
        if "dag" not in template:
            return [path or name]
        paths = []
        for task in in_order(template["dag"]["tasks"]):
            paths += self._steps_below(task["template"], join(path, task["name"]))
        return paths


def in_order(tasks: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Sorts tasks so that each comes after its dependencies.

    Raises:
        UserError: the tasks wait for one another.
    """
    left = list(tasks)
    done: list[Mapping[str, Any]] = []
    while left:
        names = {task["name"] for task in done}
        ready = [task for task in left if names.issuperset(task.get("dependencies", []))]
        if not ready:
            waiting = ", ".join(task["name"] for task in left)
            raise UserError(f"workflow: these tasks wait for one another: {waiting}")
        done += ready
        left = [task for task in left if task not in ready]
    return done


def join(path: str, name: str) -> str:
    """Returns the path of a task in the DAG at `path`."""
    return f"{path}/{name}" if path else name


def substitute(value: Any, scope: Mapping[str, str]) -> Any:
    """Replaces every `{{reference}}` in a part of a workflow.

    Raises:
        UserError: a reference is not in scope.
    """
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _resolve(match.group(1), scope), value)
    if isinstance(value, Mapping):
        return {key: substitute(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, scope) for item in value]
    return value


def _resolve(reference: str, scope: Mapping[str, str]) -> str:
    if reference not in scope:
        raise UserError(
            f"workflow: {{{{{reference}}}}} refers to nothing{nearest(reference, scope)}"
        )
    return scope[reference]


def is_true(condition: str) -> bool:
    """Returns whether a `when` without references is true: `"heads" == "tails"`, `3 > 2`.

    Raises:
        UserError: the condition is not a single comparison.
    """
    match = _COMPARISON.fullmatch(condition.strip())
    if not match or "&&" in condition or "||" in condition:
        raise UserError(f"workflow: when: {condition!r}: expected a comparison, such as 'a == b'")
    left, sign, right = match.group(2), match.group(3), match.group(5)
    try:
        return _OPERATORS[sign](float(left), float(right))
    except ValueError:
        return _OPERATORS[sign](left, right)


def _unsupported(spec: Mapping[str, Any]):
    yield from (f"spec.{key}" for key in spec if key not in _SPEC)
    for template in spec["templates"]:
        where = f"spec.templates.{template['name']}"
        yield from (f"{where}.{key}" for key in template if key not in _TEMPLATE)
        if "container" not in template and "dag" not in template:
            yield f"{where}: neither a container nor a dag"
        if template.get("inputs", {}).get("artifacts"):
            yield f"{where}.inputs.artifacts"
        container = template.get("container", {})
        yield from (f"{where}.container.{key}" for key in container if key not in _CONTAINER)
        for task in template.get("dag", {}).get("tasks", []):
            yield from (f"{where}.dag.{task['name']}.{key}" for key in task if key not in _TASK)
