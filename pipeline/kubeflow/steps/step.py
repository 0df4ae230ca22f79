"""A step's program: `python -m pipeline.kubeflow.steps.step --node_id Trainer ...`.

TFX's own entry point does the work: it resolves the inputs, checks the cache, runs the executor and
publishes the outputs. This module makes the step reproducible, and writes the Evaluator's verdict
and the Pusher's result to the files that Kubeflow Pipelines displays and reads metrics from.
"""

import contextlib
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from models.processes import no_proxy  # noqa: E402

_SERVICES = ("METADATA_GRPC_SERVICE_HOST", "KUBERNETES_SERVICE_HOST")
"""Variables with the hosts of services in the cluster, which a proxy cannot reach."""
no_proxy.exempt(os.environ[name] for name in _SERVICES if os.environ.get(name))

from absl import logging  # noqa: E402
from etils import epath  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from tfx.orchestration import metadata  # noqa: E402
from tfx.orchestration.kubeflow import container_entrypoint  # noqa: E402
from tfx.orchestration.kubeflow.proto import kubeflow_pb2  # noqa: E402
from tfx.orchestration.portable.mlmd import execution_lib  # noqa: E402
from tfx.types import Artifact  # noqa: E402

from components import artifact_names  # noqa: E402
from models.distributed.launchers import launching_with  # noqa: E402
from models.errors import UserError  # noqa: E402
from models.processes import exit_guard  # noqa: E402
from pipeline.beam import patches  # noqa: E402
from pipeline.graph import beam_args, nodes  # noqa: E402
from pipeline.kubeflow.output_names import BLESSED, DEPLOYED, METRICS, UNCHANGED  # noqa: E402
from pipeline.kubeflow.step_container import TFJOB_FLAG  # noqa: E402
from pipeline.kubeflow.tfjob import tfjob_client  # noqa: E402
from pipeline.kubeflow.tfjob.launcher import Launcher  # noqa: E402
from pipeline.storage import output_files  # noqa: E402

METRICS_FILE = f"{METRICS}.json"
"""The metrics file, in the same directory as `--metadata_ui_path`."""

_show: Callable = container_entrypoint._dump_ui_metadata


def main(argv: list[str]) -> None:
    """Runs one step with the arguments of TFX's entry point.

    The Trainer may also get `--tfjob`: the TFJob whose pods run the tasks of its cluster.

    Raises:
        SystemExit: with `BAD_INPUT`, if the data cannot be read or does not fit the schema, which
            no retry can change.
    """
    beam_args.seed()
    tasks: AbstractContextManager[None] = contextlib.nullcontext()
    if TFJOB_FLAG in argv:
        at = argv.index(TFJOB_FLAG)
        tasks = _tasks_on_pods(json.loads(argv[at + 1]))
        argv = [*argv[:at], *argv[at + 2 :]]
    ui_path = argv[argv.index("--metadata_ui_path") + 1]
    pathlib.Path(ui_path).parent.mkdir(parents=True, exist_ok=True)
    # TFX has no other hook for what a step displays; cached steps have something to display too.
    setattr(container_entrypoint, "_dump_ui_metadata", _show_with_verdict)  # noqa: B010
    setattr(container_entrypoint.launcher, "Launcher", output_files.Launcher)  # noqa: B010
    try:
        # A step that exits with 0 before its outputs are published would count as done.
        with (
            tasks,
            exit_guard.guarded(lambda text: print(text, file=sys.stderr, flush=True)),
            patches.applied(argv),  # the pipeline's IR contains the Beam arguments
        ):
            container_entrypoint.main(argv)
    except UserError as error:
        traceback.print_exc()
        sys.exit(error.exit_code)


def _tasks_on_pods(job: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Context manager: tasks of a training are pods of a TFJob, if this step runs in a cluster."""
    if tfjob_client.in_a_cluster():
        return launching_with(Launcher(job, tfjob_client.Jobs.of_this_pod()))
    logging.warning("Not in a cluster: tasks are processes of this step, not pods of a TFJob")
    return contextlib.nullcontext()


def _show_with_verdict(node, execution_info, ui_metadata_path: str) -> None:
    if node.node_info.id == nodes.EVALUATOR:
        verdict = _verdict(execution_info.execution_id)
        # TFX appends the entries of this file to its own.
        page = json.dumps({"outputs": [_page(verdict)]})
        pathlib.Path(ui_metadata_path).write_text(page, encoding="utf-8")
        _report({BLESSED: verdict["blessed"]}, ui_metadata_path)
    elif node.node_info.id == nodes.PUSHER:
        _report(_pushed(execution_info.execution_id), ui_metadata_path)
    _show(node, execution_info, ui_metadata_path)


def _verdict(execution: int) -> dict[str, Any]:
    """Reads an execution's verdict from its recorded path.

    For a cached execution TFX passes the path of an output that was never written.
    """
    file = epath.Path(_output(execution, "evaluation").uri) / artifact_names.VERDICT_FILE
    return json.loads(file.read_text(encoding="utf-8"))


def _pushed(execution: int) -> dict[str, bool]:
    model = _output(execution, "pushed_model")
    return {
        DEPLOYED: bool(model.get_string_custom_property("pushed_destination")),
        UNCHANGED: bool(model.get_int_custom_property(artifact_names.UNCHANGED)),
    }


def _output(execution: int, key: str) -> Artifact:
    argument = sys.argv[sys.argv.index("--kubeflow_metadata_config") + 1]
    config = json_format.Parse(argument, kubeflow_pb2.KubeflowMetadataConfig())
    connection = container_entrypoint._get_metadata_connection_config(config)
    with metadata.Metadata(connection) as store:
        (artifact,) = execution_lib.get_output_artifacts(store, execution)[key]
    return artifact


def _page(verdict: Mapping[str, Any]) -> dict[str, str]:
    lines = [f"# {'Blessed' if verdict['blessed'] else 'Not blessed'}", ""]
    lines += [
        f"- {'pass' if line['passed'] else 'FAIL'}: {line['text']}" for line in verdict["lines"]
    ]
    lines += [f"- note: {note}" for note in verdict["notes"]]
    return {"type": "markdown", "storage": "inline", "source": "\n".join(lines)}


def _report(metrics: Mapping[str, bool], ui_metadata_path: str) -> None:
    rows = [
        {"name": name, "numberValue": float(value), "format": "RAW"}
        for name, value in metrics.items()
    ]
    path = pathlib.Path(ui_metadata_path).with_name(METRICS_FILE)
    path.write_text(json.dumps({"metrics": rows}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
