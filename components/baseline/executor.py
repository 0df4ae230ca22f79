"""Copies the served version, which may be removed while the candidate is compared with it."""

from collections.abc import Mapping
from typing import Any

from etils import epath
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components import deployments
from models.errors import StepError
from models.training import export_manifest

DIRECTORY = "directory"
CANDIDATE = "candidate"
MODEL = "model"
VERSION = "pushed_version"
"""Custom property of the artifact: the version; the Pusher's artifact uses the same name."""
BASELINE = "baseline"
"""Parameter that the driver adds: a `deployments.Baseline` as JSON."""


class Executor(base_executor.BaseExecutor):
    """See the component."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the baseline, and copies the served model if its files are intact.

        Raises:
            BadRecord: see `components.deployments.read`.
            StepError: the version was changed while it was copied.
        """
        if BASELINE in exec_properties:
            baseline = deployments.Baseline.from_json(exec_properties[BASELINE])
        else:
            baseline = find(input_dict, exec_properties)
        artifact = artifact_utils.get_single_instance(output_dict[MODEL])
        folder = epath.Path(artifact.uri)
        if baseline.version is not None and not baseline.damage:
            version = epath.Path(exec_properties[DIRECTORY]) / baseline.version
            copy = path_utils.serving_model_dir(artifact.uri)
            # Replaces what an earlier, killed attempt of this step has copied.
            io_utils.copy_dir(str(version), copy)
            if export_manifest.damage(epath.Path(copy)) not in ("", export_manifest.NO_CHECKSUMS):
                raise StepError(f"{version}: was changed while it was copied; run again")
            artifact.set_string_custom_property(VERSION, baseline.version)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / deployments.BASELINE).write_text(baseline.to_json())


def find(input_dict: Mapping[str, Any], exec_properties: Mapping[str, Any]) -> deployments.Baseline:
    """Finds the served model, unless it is the candidate itself.

    Raises:
        BadRecord: see `components.deployments.read`.
    """
    uri = artifact_utils.get_single_uri(input_dict[CANDIDATE])
    candidate = epath.Path(path_utils.serving_model_dir(uri))
    directory = epath.Path(exec_properties[DIRECTORY])
    version = deployments.serving(directory)
    if version is None or deployments.is_same_model(candidate, version):
        return deployments.Baseline()
    damage = deployments.damage(version)
    recorded = {entry.version for entry in deployments.read(directory)}
    if damage == export_manifest.NO_CHECKSUMS and version.name not in recorded:
        damage = ""  # deployed before checksums were introduced: compared with as it is
    return deployments.Baseline(version.name, export_manifest.digest(version), damage)
