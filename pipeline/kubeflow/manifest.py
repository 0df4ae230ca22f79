"""The compiled workflow as a file: what is executed here, and what is uploaded."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.errors import UserError, nearest

BLESSED = "blessed"
"""The metric by which the Evaluator's step tells its verdict: 1 or 0."""

_METRICS = "mlpipeline-metrics"


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
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such workflow; `kubeflow_runner.py compile` writes it"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, where: str) -> "Manifest":
        """Reads the text of a compiled file, which `where` names in messages.

        Raises:
            UserError: it is something else.
        """
        try:
            content = yaml.safe_load(text)
        except yaml.composer.ComposerError:
            raise UserError(
                f"{where}: several documents; expected workflow.yaml, not pipeline_spec.yaml"
            ) from None
        except yaml.YAMLError as error:
            raise UserError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind != "Workflow" or not isinstance(content.get("spec"), dict):
            raise UserError(
                f"{where}: expected an Argo Workflow (kind: Workflow); "
                "`kubeflow_runner.py compile` writes one"
            )
        return cls(where, text, content)

    @property
    def digest(self) -> str:
        """What tells one workflow from another."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:10]

    @property
    def tells_verdict(self) -> bool:
        """Whether a step writes metrics, of which the verdict is one."""
        outputs = [own.get("outputs") or {} for own in self.content["spec"].get("templates", ())]
        return any(
            artifact["name"] == _METRICS
            for output in outputs
            for artifact in output.get("artifacts") or ()
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
        content = yaml.safe_load(self.text)
        for own in content["spec"]["arguments"]["parameters"]:
            own["value"] = given.get(own["name"], own.get("value"))
        return Manifest(self.where, yaml.safe_dump(content, sort_keys=False), content)
