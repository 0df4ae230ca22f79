"""TFX's BeamDagRunner, extended to report the progress of its nodes."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

import apache_beam as beam
from absl import logging
from tfx.orchestration import metadata
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.beam import beam_dag_runner

from components.table_example_gen import rows_of
from pipeline.beam import row_progress
from pipeline.console.node_progress import CACHED, Progress
from pipeline.graph import beam_args, nodes
from pipeline.storage import metadata_store, output_files

# Module globals, because Beam pickles the functions it runs: they could not carry a reference.
_progress: Progress
_executions: dict[str, int]


def run(pipeline: tfx_pipeline.Pipeline, progress: Progress) -> dict[str, int]:
    """Runs the pipeline's nodes in order, in this process.

    Args:
        pipeline: the pipeline to run.
        progress: records the start and end of each node.

    Returns:
        The id of each node's execution in the metadata store, by node id.

    Raises:
        Exception: the error of a node, wrapped by Beam; `progress` holds the original.
    """
    global _progress, _executions
    _progress, _executions = progress, {}
    with _argv(beam_args.for_orchestration()):
        _Runner().run(pipeline)
    return _executions


@contextlib.contextmanager
def _argv(arguments: list[str]) -> Iterator[None]:
    """Replaces `sys.argv`, from which BeamDagRunner's own Beam pipeline reads its options."""
    kept = sys.argv
    sys.argv = [kept[0], *arguments]
    try:
        yield
    finally:
        sys.argv = kept


class _Launcher(output_files.Launcher):
    """Launcher that reports rows read and remembers whether the executor ran or the cache answered.

    It gives up, instead of waiting forever, if another process keeps the store locked.

    Attributes:
        store: the file of the metadata store.
        ran: whether the executor ran.
    """

    store: pathlib.Path
    ran = False

    def _publish_successful_execution(self, *arguments):
        metadata_store.wait_until_free(self.store)
        super()._publish_successful_execution(*arguments)

    def _publish_failed_execution(self, *arguments):
        try:
            metadata_store.wait_until_free(self.store)
        except metadata_store.LockedError as error:
            logging.warning("The failure is not recorded: %s", error)  # the user still sees it
        else:
            super()._publish_failed_execution(*arguments)

    def _run_executor(self, execution_info):
        self.ran = True
        name = self._pipeline_node.node_info.id

        def annotate(text: str) -> None:
            _progress.annotate(name, text)

        to_read = 0
        if name in nodes.READS:
            (examples,) = execution_info.input_dict["examples"]
            of_split = rows_of(examples)
            to_read = sum(of_split[split] for split in nodes.READS[name])
        with row_progress.reporting(annotate, to_read):
            return super()._run_executor(execution_info)


@beam.typehints.with_input_types(object)
@beam.typehints.with_output_types(object)
class _ObservedNode(beam_dag_runner.PipelineNodeAsDoFn):
    def _run_node(self) -> None:
        beam_args.seed()
        with _progress.running(self._node_id) as node:
            observed = _Launcher(
                pipeline_node=self._pipeline_node,
                mlmd_connection=metadata.Metadata(self._mlmd_connection_config),
                pipeline_info=self._pipeline_info,
                pipeline_runtime_spec=self._pipeline_runtime_spec,
                executor_spec=self._executor_spec,
                platform_config=self._extract_platform_config(
                    self._deployment_config, self._node_id
                ),
                custom_driver_spec=self._custom_driver_spec,
            )
            observed.store = pathlib.Path(self._mlmd_connection_config.sqlite.filename_uri)
            metadata_store.wait_until_free(observed.store)
            info = observed.launch()
            if info is not None and info.execution_id is not None:
                _executions[self._node_id] = info.execution_id
            # Resolvers and importers have no executor: they only look up artifacts.
            if self._executor_spec is not None and not observed.ran:
                node.state = CACHED


class _Runner(beam_dag_runner.BeamDagRunner):
    _PIPELINE_NODE_DO_FN_CLS = _ObservedNode
