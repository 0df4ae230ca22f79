"""The program in the container of a V2 step: `python -m pipeline.kubeflow.steps.v2_step ...`.

TFX's own entry point does the work: it converts the engine's `ExecutorInput` to artifacts and
parameters, runs the executor and writes an `ExecutorOutput`. This module makes the step
reproducible and adapts it to open-source Kubeflow Pipelines:

- Artifacts are read and written as files (see `mounts`): TFX does not support `minio://`, the
  engine's default, and the engine keeps only what is in the files.
- Input artifacts arrive without a type (`backend/src/v2/metadata/converter.go`,
  `toRuntimeArtifact`), which TFX requires; it comes from the component's definition, which is one
  of the arguments.
- Output directories are created here, as the engine does not (`launcher_v2.go`,
  `prepareOutputFolders`).
"""

import argparse
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from models.processes import no_proxy  # noqa: E402

no_proxy.exempt()

from absl import app  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from kfp.pipeline_spec import pipeline_spec_pb2  # noqa: E402
from tfx.dsl.io import fileio  # noqa: E402
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor  # noqa: E402

from components.artifact_names import VERDICT_FILE  # noqa: E402
from models.processes import exit_guard  # noqa: E402
from pipeline.beam import patches  # noqa: E402
from pipeline.graph import beam_args  # noqa: E402
from pipeline.kubeflow.compile import mounts  # noqa: E402

_EVALUATION = "evaluation"


def main(parsed: tuple[argparse.Namespace, list[str]]) -> None:
    """Runs one step with the arguments of TFX's entry point, as parsed by it."""
    arguments, beam_arguments = parsed
    beam_args.seed()
    executor_input = json_format.Parse(
        arguments.json_serialized_invocation_args,
        pipeline_spec_pb2.ExecutorInput(),
        ignore_unknown_fields=True,
    )
    definitions = json_format.Parse(
        arguments.json_serialized_inputs_spec_args, pipeline_spec_pb2.ComponentInputsSpec()
    )
    as_files = _as_files(executor_input, definitions)
    arguments.json_serialized_invocation_args = json_format.MessageToJson(as_files)
    # A step that exits with 0 before its outputs are written would count as done.
    with (
        exit_guard.guarded(lambda text: print(text, file=sys.stderr, flush=True)),
        patches.applied(beam_arguments),
    ):
        kubeflow_v2_run_executor.main((arguments, beam_arguments))
    _name_addresses(executor_input.outputs)
    if _EVALUATION in as_files.outputs.artifacts:
        _print_verdict(as_files.outputs.artifacts[_EVALUATION].artifacts[0].uri)


def _as_files(executor_input, definitions):
    """Returns the input with directories for addresses and all types; makes output directories."""
    changed = pipeline_spec_pb2.ExecutorInput()
    changed.CopyFrom(executor_input)
    for name, inputs in changed.inputs.artifacts.items():
        for artifact in inputs.artifacts:
            artifact.uri = mounts.local(artifact.uri)
            if not artifact.type.WhichOneof("kind"):
                artifact.type.CopyFrom(definitions.artifacts[name].artifact_type)
    for outputs in changed.outputs.artifacts.values():
        for artifact in outputs.artifacts:
            artifact.uri = mounts.local(artifact.uri)
            pathlib.Path(artifact.uri).mkdir(parents=True, exist_ok=True)
    return changed


def _name_addresses(outputs) -> None:
    """Restores the addresses in TFX's output, which other steps and machines use."""
    with fileio.open(outputs.output_file, "r") as file:
        written = json.loads(file.read())
    for name, artifacts in written.get("artifacts", {}).items():
        for artifact, original in zip(artifacts["artifacts"], outputs.artifacts[name].artifacts):
            artifact["uri"] = original.uri
    with fileio.open(outputs.output_file, "w") as file:
        file.write(json.dumps(written))


def _print_verdict(evaluation: str) -> None:
    """Prints the verdict to the step's log, as V2 engines display no page for a step."""
    text = (pathlib.Path(evaluation) / VERDICT_FILE).read_text(encoding="utf-8")
    verdict = json.loads(text)
    for line in verdict["lines"]:
        print("pass " if line["passed"] else "FAIL ", line["text"])
    for note in verdict["notes"]:
        print("note ", note)
    print("Blessed" if verdict["blessed"] else "Not blessed")


if __name__ == "__main__":
    app.run(main, flags_parser=kubeflow_v2_run_executor._parse_flags)
