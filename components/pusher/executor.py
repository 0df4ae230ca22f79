"""Pushes a model so that a server never sees an incomplete copy.

TFX's own executor copies file by file into the version's directory and skips a version that exists:
a killed push would leave an incomplete model, which another push within the same second would take
for a complete one.
"""

import contextlib
import datetime
import json
import pathlib
import shutil
import time
from collections.abc import Mapping
from typing import Optional

from etils import epath
from tfx.components.pusher import executor
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components import deployments
from components.artifact_names import KEPT_BACK, UNCHANGED, VERDICT_FILE
from models.errors import StepError
from models.training import export_manifest

_ABANDONED_AFTER = 24 * 3600
"""Seconds without a change after which a partial copy counts as left by a killed push; until then,
another run may still be making it."""


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Pushes the model if it is blessed; records in the artifact where to, or that it did not.

        Raises:
            BadRecord: see `components.deployments.read`.
            StepError: the served version is not the one that the model was compared with, or the
                copy differs from the export.
        """
        pushed = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.PUSHED_MODEL_KEY]
        )
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        model = epath.Path(self.GetModelPath(input_dict))
        evaluation = epath.Path(artifact_utils.get_single_uri(input_dict["evaluation"]))
        verdict = json.loads((evaluation / VERDICT_FILE).read_text())
        serving = epath.Path(exec_properties["directory"])

        with deployments.locked(serving):
            self._decide(pushed, model, serving, verdict["baseline"])

    def _decide(
        self,
        pushed: Artifact,
        model: epath.Path,
        serving: epath.Path,
        baseline: Mapping[str, Optional[str]],
    ) -> None:
        """Deploys the model unless it is served already or was replaced by hand."""
        version = deployments.serving(serving)
        if version is not None and deployments.is_same_model(model, version):
            damage = deployments.damage(version)
            if not damage:
                _make_sure_it_is_recorded(version)
                self._mark(pushed, version, unchanged=True)
                return
            why = f"version {version.name} {damage}"
        elif replaced := _replaced_by_hand(model, serving, version):
            if not baseline["set_aside"]:
                self._MarkNotPushed(pushed)
                pushed.set_string_custom_property(KEPT_BACK, replaced)
                return
            why = _why(baseline)
        else:
            _check_that_it_still_serves(baseline["version"], version)
            why = _why(baseline)
        version = deploy(model, serving)
        # Record first: to a later run, an unrecorded version looks like one put there by hand.
        _record(version, why, baseline["version"])
        io_utils.copy_dir(str(model), pushed.uri)
        self._mark(pushed, version, unchanged=False)

    def _mark(self, pushed: Artifact, version: epath.Path, unchanged: bool) -> None:
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)
        pushed.set_int_custom_property(UNCHANGED, int(unchanged))


def _make_sure_it_is_recorded(version: epath.Path) -> None:
    """Records a version whose push was killed before it could record it."""
    recorded = {entry.version for entry in deployments.read(version.parent)}
    if version.name not in recorded:
        _record(version, "found in the serving directory, not in the record", None)


def _record(version: epath.Path, why: str, compared_with: Optional[str]) -> None:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    entry = deployments.Deployment(
        version.name,
        now,
        why,
        deployments.model_of(version),
        export_manifest.digest(version),
        compared_with,
    )
    deployments.add(version.parent, entry)


def _why(baseline: Mapping[str, Optional[str]]) -> str:
    """Returns why a model was blessed, from the `baseline` part of its verdict."""
    if baseline["version"] is None:
        return "blessed; nothing else was deployed"
    if baseline["set_aside"]:
        return f"blessed; version {baseline['version']} was set aside: {baseline['set_aside']}"
    if baseline["problem"]:
        return f"blessed; version {baseline['version']} {baseline['problem']}"
    return f"blessed; compared with version {baseline['version']}"


def _replaced_by_hand(model: epath.Path, serving: epath.Path, version: Optional[epath.Path]) -> str:
    """Returns how a person replaced this model by another version; empty if nobody did.

    If nothing is served any more, the deployment was lost and is simply repeated.
    """
    recorded = deployments.read(serving)
    identity = deployments.model_of(model)
    if version is None or not recorded or identity is None or recorded[-1].model != identity:
        return ""
    last = recorded[-1].version
    if (serving / last).exists():
        how = f"version {version.name} was added by hand"
    else:
        how = f"that version was removed by hand, and version {version.name} serves now"
    return f"this model was deployed before, as version {last}; {how}"


def _check_that_it_still_serves(expected: Optional[str], version: Optional[epath.Path]) -> None:
    actual = version.name if version is not None else None
    if actual != expected:
        was, now = (f"version {name}" if name else "nothing" for name in (expected, actual))
        raise StepError(
            f"{now} serves now, but the model was judged when {was} did; run again to compare it "
            "with what serves now"
        )


def deploy(model: epath.Path, serving: epath.Path) -> epath.Path:
    """Copies an exported model to a new version in `serving`, which appears atomically.

    The version is the time in seconds, but always above every version that exists or is recorded.

    Raises:
        StepError: the copy differs from the export.
    """
    serving.mkdir(parents=True, exist_ok=True)
    known = [path.name for path in deployments.versions(serving)]
    known += [entry.version for entry in deployments.read(serving)]
    above = [int(name) + 1 for name in known]
    version = serving / str(max(int(time.time()), *above, 0))
    if deployments.is_in_object_store(serving):
        _copy_graph_last(model, version)
    else:
        _copy_beside(model, version)
    return version


def _copy_beside(model: epath.Path, version: epath.Path) -> None:
    """Copies on a disk by renaming: TensorFlow Serving ignores directories with other names."""
    for left in pathlib.Path(version.parent).glob(".*.partial"):
        with contextlib.suppress(FileNotFoundError):  # another run has just renamed its copy
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(left)
    partial = version.with_name(f".{version.name}.partial")
    io_utils.copy_dir(str(model), str(partial))
    _check_copy(partial, version)
    partial.rename(version)


def _copy_graph_last(model: epath.Path, version: epath.Path) -> None:
    """Copies in an object store, the graph last: renaming is not atomic, but servers need a graph.

    A killed push leaves a version without a graph; the next push makes a higher version.
    """
    graph = export_manifest.GRAPH
    io_utils.copy_dir(str(model), str(version), deny_regex_patterns=[f"/{graph}$"])
    _check_copy(version, version, without=graph)
    (model / graph).copy(version / graph)
    _check_copy(version, version)


def _check_copy(copy: epath.Path, version: epath.Path, without: str = "") -> None:
    """Checks that the copy is byte for byte what was exported and judged."""
    if damage := export_manifest.damage(copy, without):
        raise StepError(f"the copy for {version} {damage}; run again")
