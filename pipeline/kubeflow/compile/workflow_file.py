"""The compiled workflow file, which is executed on this machine or uploaded to a server."""

import copy
import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from models.errors import UserError, nearest
from pipeline.config import yaml_file
from pipeline.graph import nodes
from pipeline.kubeflow.output_names import BLESSED, DEPLOYED, METRICS

# Kubernetes' names have no capitals.
_REPORTED = {nodes.EVALUATOR.lower(): BLESSED, nodes.PUSHER.lower(): DEPLOYED}
"""The metric that a template reports, by the template's name."""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """An Argo Workflow.

    Attributes:
        where: the name of the file in messages.
        text: the text of the file.
        content: the parsed text.
    """

    where: str
    text: str
    content: Mapping[str, Any]

    @classmethod
    def load(cls, path: pathlib.Path) -> "Manifest":
        """Reads a compiled file.

        Raises:
            UserError: the file is missing, or is not an Argo Workflow.
        """
        try:
            return cls.parse(yaml_file.text_of(path, "workflow"), str(path))
        except UserError as error:
            raise UserError(f"{error}; write it with kubeflow_runner.py compile") from None

    @classmethod
    def parse(cls, text: str, where: str) -> "Manifest":
        """Parses the text of a compiled file, which messages call `where`.

        Raises:
            UserError: the text is not an Argo Workflow.
        """
        content = yaml_file.parse(text, where)
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind != "Workflow":
            kind_text = f"kind {kind}" if kind else "no kind"
            raise UserError(f"{where}: found {kind_text}, expected an Argo Workflow")
        if not isinstance(content.get("spec"), dict):
            raise UserError(f"{where}: found no spec, expected an Argo Workflow")
        return cls(where, text, content)

    @property
    def digest(self) -> str:
        """A short hash of the text, which identifies the workflow."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:10]

    @property
    def steps(self) -> frozenset[str]:
        """The names of the steps, which are the tasks that run a container."""
        templates = {
            template["name"]: template for template in self.content["spec"].get("templates") or ()
        }
        tasks = [
            task
            for template in templates.values()
            for task in (template.get("dag") or {}).get("tasks") or ()
        ]
        return frozenset(
            task["name"] for task in tasks if "container" in templates.get(task.get("template"), {})
        )

    @property
    def reported(self) -> frozenset[str]:
        """The metrics that every run reports: the verdict, and whether the model is deployed."""
        reporting = {
            template["name"]
            for template in self.content["spec"].get("templates", ())
            for artifact in (template.get("outputs") or {}).get("artifacts") or ()
            if artifact["name"] == METRICS
        }
        return frozenset(metric for name, metric in _REPORTED.items() if name in reporting)

    def parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        """Returns the values of the workflow's parameters.

        Args:
            given: values that replace the workflow's defaults, by name.

        Raises:
            UserError: the workflow has no such parameter, or a parameter has no value.
        """
        declared = self.content["spec"].get("arguments", {}).get("parameters") or ()
        values = {parameter["name"]: parameter.get("value") for parameter in declared}
        for name in given:
            if name not in values:
                known = nearest(name, values) if values else " (it has none)"
                raise UserError(f"--param {name}: {self.where} has no such parameter{known}")
        values |= given
        for name, value in values.items():
            if value is None:
                raise UserError(f"--param {name}: missing; give it as --param {name}=VALUE")
        return {name: str(value) for name, value in values.items()}

    def having(self, given: Mapping[str, str]) -> "Manifest":
        """Returns the same workflow with other defaults for its parameters."""
        content: Any = copy.deepcopy(self.content)
        for parameter in content["spec"]["arguments"]["parameters"]:
            parameter["value"] = given.get(parameter["name"], parameter.get("value"))
        return Manifest(self.where, yaml.safe_dump(content, sort_keys=False), content)
