"""The Trainer's inputs from a finished run, for benchmarks that train outside the pipeline."""

import pathlib

from pipeline.config import config_file
from pipeline.storage.workspace import Workspace


def finished_problem(config_path: pathlib.Path, root: pathlib.Path | None = None):
    """Returns the `models.training.problem.Problem` of a configuration that has been run.

    Args:
        config_path: path of the configuration.
        root: workspace of the run; by default, the local runner's.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    from models.settings.training_settings import Settings
    from models.training.problem import Problem
    from pipeline.graph import arguments
    from pipeline.graph.pipeline import create_pipeline

    config = config_file.load(config_path)
    workspace = Workspace((root or pathlib.Path("workspace") / config.name).resolve())
    trainer = next(
        node
        for node in create_pipeline(config, arguments.of_workspace(config, workspace)).components
        if node.id == "Trainer"
    )
    settings = Settings.from_json(trainer.exec_properties["problem"])
    graph = _latest(workspace.artifacts / "Transform" / "transform_graph")
    examples = _latest(workspace.artifacts / "Transform" / "transformed_examples")
    schema = (graph / "metadata" / "schema.pbtxt").read_text()
    return Problem(
        settings,
        text_format.Parse(schema, schema_pb2.Schema()),
        str(graph),
        tuple(sorted(map(str, (examples / "Split-train").iterdir()))),
        tuple(sorted(map(str, (examples / "Split-eval").iterdir()))),
    )


def _latest(folder: pathlib.Path) -> pathlib.Path:
    runs = [path for path in folder.glob("*") if path.name.isdigit()]
    if not runs:
        raise SystemExit(f"{folder}: has no finished run; run the pipeline first")
    return max(runs, key=lambda path: int(path.name))
