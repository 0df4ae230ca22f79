"""A deployed model: where its files are, what it reads and what it predicts."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping

from etils import epath

from components import deployments
from models.errors import UserError
from models.features import export_inputs, label
from models.features.export_inputs import Input
from models.training import export_manifest


@dataclasses.dataclass(frozen=True)
class PredictedLabel:
    """Label that a model predicts.

    It has only those fields of `models.features.label.Label` that predictions need, so a model
    whose export lacks other fields can still be used.

    Attributes:
        name: the label's column.
        task: regression, binary or multiclass.
        classes: the classes in ascending order; empty for a regression.
    """

    name: str
    task: str
    classes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """Model with the descriptions of its inputs and outputs.

    Attributes:
        directory: the directory of a pushed version.
        labels: the labels that it predicts.
        inputs: the columns that it reads, by name.
        columns: the names of all columns of the table that it was trained on.
        missing: words that marked a missing value in that table; None if not recorded.
    """

    directory: pathlib.Path
    labels: tuple[PredictedLabel, ...]
    inputs: Mapping[str, Input]
    columns: tuple[str, ...]
    missing: tuple[str, ...] | None

    def check_label(self, name: str, task: str) -> None:
        """Checks that the model belongs to the problem with this label.

        Raises:
            UserError: it predicts another label or task, because two problems share a workspace.
        """
        first = self.labels[0]
        if (first.name, first.task) != (name, task):
            raise UserError(
                f"{self.directory}: predicts {first.name} ({first.task}), not {name} ({task}) as "
                "configured; give each problem a name of its own (name: ...) and run it"
            )


def latest_version(serving: pathlib.Path) -> pathlib.Path:
    """Returns the directory of the deployed version.

    Raises:
        UserError: no model was pushed yet, or the record of deployments cannot be read.
    """
    directory = epath.Path(serving)
    version = deployments.serving(directory)
    # A version without a graph is not `serving`; `read` reports it as damaged.
    version = version or next(reversed(deployments.versions(directory)), None)
    if version is None:
        raise UserError(f"{serving}: no model was pushed yet; `run` trains and pushes one")
    return pathlib.Path(version)


def read(directory: pathlib.Path) -> ExportedModel:
    """Reads what a pushed model says about itself.

    Raises:
        UserError: the model's files changed since deployment, or it was exported in an older
            format, with one label only.
    """
    _check_files(directory)
    extra = directory / export_manifest.EXTRA
    described = json.loads((extra / label.FILE_NAME).read_text())
    if "labels" not in described:
        raise UserError(
            f"{directory}: was exported in an older format; `run` trains and pushes a new one"
        )
    signature = json.loads((extra / export_inputs.FILE_NAME).read_text())
    missing = signature.get("missing")
    return ExportedModel(
        directory,
        tuple(
            PredictedLabel(fields["name"], fields["task"], tuple(fields["classes"]))
            for fields in described["labels"]
        ),
        {column["name"]: Input(**column) for column in signature["inputs"]},
        tuple(signature["columns"]),
        None if missing is None else tuple(missing),
    )


def _check_files(directory: pathlib.Path) -> None:
    damage = deployments.damage(epath.Path(directory))
    if damage == export_manifest.NO_CHECKSUMS:
        raise UserError(
            f"{directory}: {damage}: it was deployed by an earlier version, or the file was "
            "removed; `run` trains and pushes a new one"
        )
    if damage:
        raise UserError(
            f"{directory}: {damage}; restore its files, or `run`, which pushes it again"
        )
