"""The compiled workflow, as it is uploaded."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline.errors import UserError, nearest

VERDICT = "blessed"
"""The metric by which the Evaluator's step tells its verdict: 1 or 0."""

# kfp's compiler writes the time here, which would make every compilation another workflow.
_COMPILED_AT = "pipelines.kubeflow.org/pipeline_compilation_time"
_METRICS = "mlpipeline-metrics"


@dataclasses.dataclass(frozen=True)
class Package:
    """An Argo Workflow in its file.

    Attributes:
        path: the file.
        workflow: what is in it.
    """

    path: pathlib.Path
    workflow: Mapping[str, Any]

    @classmethod
    def load(cls, path: pathlib.Path) -> "Package":
        """Reads a workflow.

        Raises:
            UserError: there is none, or it is something else.
        """
        try:
            workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such workflow; `kubeflow_runner.py compile` writes it"
            ) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: cannot be read as YAML: {reason}") from None
        kind = workflow.get("kind") if isinstance(workflow, dict) else None
        if kind != "Workflow" or not isinstance(workflow.get("spec"), dict):
            raise UserError(
                f"{path}: expected an Argo Workflow (kind: Workflow); "
                "`kubeflow_runner.py compile` writes one"
            )
        return cls(path, workflow)

    @property
    def parameters(self) -> dict[str, str]:
        """The workflow's parameters and their values."""
        found = self.workflow["spec"].get("arguments", {}).get("parameters") or ()
        return {own["name"]: str(own.get("value", "")) for own in found}

    @property
    def reports_verdict(self) -> bool:
        """Whether a step writes metrics, of which the verdict is one."""
        outputs = [own.get("outputs") or {} for own in self.workflow["spec"].get("templates", ())]
        return any(
            artifact["name"] == _METRICS
            for output in outputs
            for artifact in output.get("artifacts") or ()
        )

    @property
    def digest(self) -> str:
        """What tells one workflow from another."""
        metadata = self.workflow.get("metadata") or {}
        notes = dict(metadata.get("annotations") or {})
        notes.pop(_COMPILED_AT, None)
        content = {**self.workflow, "metadata": {**metadata, "annotations": notes}}
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def values(self, pairs: Sequence[str]) -> dict[str, str]:
        """Reads values for the parameters.

        Args:
            pairs: `NAME=VALUE` each.

        Raises:
            UserError: a pair is none, or there is no such parameter.
        """
        values: dict[str, str] = {}
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if not equals:
                raise UserError(f"--param {pair}: expected NAME=VALUE")
            if name not in self.parameters:
                known = nearest(name, self.parameters) if self.parameters else " (it has none)"
                raise UserError(f"--param {name}: {self.path} has no such parameter{known}")
            values[name] = value
        return values

    def having(self, values: Mapping[str, str], path: pathlib.Path) -> "Package":
        """The same workflow with these values as its parameters' own, in another file."""
        workflow = json.loads(json.dumps(self.workflow, default=str))
        for own in workflow["spec"]["arguments"]["parameters"]:
            own["value"] = values.get(own["name"], own.get("value"))
        path.write_text(yaml.safe_dump(workflow, sort_keys=False), encoding="utf-8")
        return Package(path, workflow)
