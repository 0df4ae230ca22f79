"""Records of a run in the metadata store: cached steps, the verdict and the push.

They are read through ML Metadata, as TFX's functions for them take ten seconds to import.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from etils import epath
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from components.artifact_names import KEPT_BACK, UNCHANGED, VERDICT_FILE
from pipeline.graph import nodes

_RUN, _NODE = "pipeline_run", "node"
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)


@dataclasses.dataclass(frozen=True)
class Push:
    """The result of the Pusher.

    Attributes:
        version: the directory in which the run's model is deployed; None if it is not.
        unchanged: whether the model was already deployed before the run.
        kept_back: why a blessed model was not pushed; empty if it was.
    """

    version: epath.Path | None
    unchanged: bool
    kept_back: str


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of one run.

    Attributes:
        run: the name of the run.
        port: the port of the metadata service on this machine.
        to_local_path: converts a step's path to a path of this process.
    """

    run: str
    port: int
    to_local_path: Callable[[str], epath.Path]

    def was_cached(self, node: str) -> bool:
        """Returns whether a node's result came from the cache."""
        execution = self._execution(node)
        return execution is not None and execution.last_known_state == execution.CACHED

    def verdict(self) -> dict[str, Any] | None:
        """Returns the verdict, see `components.evaluator.verdict.make`, or None."""
        folder = self._output(nodes.EVALUATOR, "evaluation")
        if folder is None:
            return None
        file = self.to_local_path(folder.uri) / VERDICT_FILE
        return json.loads(file.read_text(encoding="utf-8"))

    def push(self) -> Push:
        """Returns the result of the Pusher."""
        artifact = self._output(nodes.PUSHER, "pushed_model")
        if artifact is None:
            return Push(None, False, "")
        properties = artifact.custom_properties
        destination = properties["pushed_destination"].string_value
        return Push(
            self.to_local_path(destination) if destination else None,
            bool(properties[UNCHANGED].int_value),
            properties[KEPT_BACK].string_value,
        )

    def _store(self) -> metadata_store.MetadataStore:
        return metadata_store.MetadataStore(
            metadata_store_pb2.MetadataStoreClientConfig(host="127.0.0.1", port=self.port)
        )

    def _execution(self, node: str) -> Any:
        """Returns the newest execution of a node in this run, or None."""
        store = self._store()
        context = store.get_context_by_type_and_name(_RUN, self.run)
        if context is None:
            return None
        executions = [
            execution
            for execution in store.get_executions_by_context(context.id)
            if node in _nodes(store, execution.id)
        ]
        return max(executions, key=lambda execution: execution.id, default=None)

    def _output(self, node: str, key: str) -> Any:
        store = self._store()
        execution = self._execution(node)
        if execution is None:
            return None
        for event in store.get_events_by_execution_ids([execution.id]):
            if event.type in _OUTPUTS and event.path.steps[0].key == key:
                (artifact,) = store.get_artifacts_by_id([event.artifact_id])
                return artifact
        return None


def _nodes(store: metadata_store.MetadataStore, execution: int) -> set[str]:
    """Returns the nodes of an execution, from contexts such as `king_county.Trainer`."""
    return {
        context.name.rpartition(".")[2]
        for context in store.get_contexts_by_execution(execution)
        if context.type == _NODE
    }
