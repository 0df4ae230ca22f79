"""The compiled workflow as a file: what is executed here, and what is uploaded."""

import copy
import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline import yaml_file
from pipeline.errors import UserError, nearest

BLESSED = "blessed"
"""The metric by which the Evaluator's step tells its verdict: 1 or 0."""
DEPLOYED = "deployed"
"""The metric by which the Pusher's step tells whether the run's model serves: 1 or 0."""
UNCHANGED = "unchanged"
"""The metric by which it tells whether the model served before the run: 1 or 0."""
PUSHER = "Pusher"
"""The node that reports these two."""

METRICS = "mlpipeline-metrics"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """An Argo Workflow.

    Attributes:
        where: its file, as messages name it.
        text: of the file.
        content: what is in it.
    """

    where: str
    text: str
    content: Mapping[str, Any]

    @classmethod
    def load(cls, path: pathlib.Path) -> "Manifest":
        """Reads a compiled file.

        Raises:
            UserError: there is none, or it is something else.
        """
        try:
            return cls.parse(yaml_file.text_of(path, "workflow"), str(path))
        except UserError as error:
            raise UserError(f"{error}; write it with kubeflow_runner.py compile") from None

    @classmethod
    def parse(cls, text: str, where: str) -> "Manifest":
        """Reads the text of a compiled file, which `where` names in messages.

        Raises:
            UserError: it is something else.
        """
        content = yaml_file.parse(text, where)
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind != "Workflow":
            found = f"kind {kind}" if kind else "no kind"
            raise UserError(f"{where}: found {found}, expected an Argo Workflow")
        if not isinstance(content.get("spec"), dict):
            raise UserError(f"{where}: found no spec, expected an Argo Workflow")
        return cls(where, text, content)

    @property
    def digest(self) -> str:
        """What tells one workflow from another."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:10]

    @property
    def steps(self) -> frozenset[str]:
        """The names of its steps: of the tasks that run a container."""
        templates = {own["name"]: own for own in self.content["spec"].get("templates") or ()}
        tasks = [
            task for own in templates.values() for task in (own.get("dag") or {}).get("tasks") or ()
        ]
        return frozenset(
            task["name"] for task in tasks if "container" in templates.get(task.get("template"), {})
        )

    @property
    def reported(self) -> frozenset[str]:
        """The metrics that a run of it reports: the verdict, and what the Pusher did."""
        reporting = [
            own["name"]
            for own in self.content["spec"].get("templates", ())
            for artifact in (own.get("outputs") or {}).get("artifacts") or ()
            if artifact["name"] == METRICS
        ]
        return frozenset(
            DEPLOYED if name == PUSHER.lower() else BLESSED  # Kubernetes' names have no capitals
            for name in reporting
        )

    def parameters(self, given: Mapping[str, str]) -> dict[str, str]:
        """The values of the workflow's parameters.

        Args:
            given: other values than the workflow's own.

        Raises:
            UserError: it has no such parameter, or one has no value.
        """
        declared = self.content["spec"].get("arguments", {}).get("parameters") or ()
        values = {own["name"]: own.get("value") for own in declared}
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
        """The same workflow with other values as its parameters' own."""
        content: Any = copy.deepcopy(self.content)
        for own in content["spec"]["arguments"]["parameters"]:
            own["value"] = given.get(own["name"], own.get("value"))
        return Manifest(self.where, yaml.safe_dump(content, sort_keys=False), content)
