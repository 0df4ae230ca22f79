"""The taxi template that TFX ships, with its Estimator, as a pipeline that runs to the end.

The template is meant to be edited: most of its stages are commented out, and its Evaluator asks for
a signature that only its Keras model exports. This module changes just that, in the text of the
installed package, as the template's comments and TFX's documentation of EvalSavedModel advise.
"""

import importlib.util
import pathlib
import re

from tfx import v1 as tfx

_TEMPLATE = "tfx.experimental.templates.taxi"
_KERAS_ONLY = re.compile(
    r"signature_name='serving_default',\s*label_key='tips_xf',\s*"
    r"preprocessing_function_names=\['transform_features'\]"
)
_STAGE = re.compile(r"^( *)# (components\.append\(\w+\))$", re.MULTILINE)


def run(data: pathlib.Path, workspace: pathlib.Path, steps: int, batch_size: int) -> None:
    """Runs the template as its own `local_runner.py` does.

    Args:
        data: folder of the table.
        workspace: folder for everything the run writes; pushed models are in `serving`.
        steps: number of training steps.
        batch_size: batch size of the training.
    """
    from tfx.experimental.templates.taxi.models.estimator_model import constants

    constants.TRAIN_BATCH_SIZE = batch_size
    metadata = str(workspace / "metadata.sqlite")
    pipeline = _create_pipeline()(
        pipeline_name="taxi",
        pipeline_root=str(workspace / "artifacts"),
        data_path=str(data),
        preprocessing_fn=f"{_TEMPLATE}.models.preprocessing.preprocessing_fn",
        run_fn=f"{_TEMPLATE}.models.estimator_model.model.run_fn",
        train_args=tfx.proto.TrainArgs(num_steps=steps),
        eval_args=tfx.proto.EvalArgs(num_steps=150),
        eval_accuracy_threshold=0.6,
        serving_model_dir=str(workspace / "serving"),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            metadata
        ),
    )
    tfx.orchestration.LocalDagRunner().run(pipeline)


def _create_pipeline():
    """Returns the template's `create_pipeline`, with all of its stages."""
    spec = importlib.util.find_spec(f"{_TEMPLATE}.pipeline.pipeline")
    assert spec and spec.origin
    text = pathlib.Path(spec.origin).read_text(encoding="utf-8")
    text, stages = _STAGE.subn(r"\1\2", text)
    text, signatures = _KERAS_ONLY.subn("signature_name='eval'", text)
    if stages < 7 or signatures != 1:
        raise SystemExit(f"{spec.origin}: is not the template of TFX 1.15: {stages} {signatures}")
    namespace: dict = {"__name__": spec.name}
    exec(compile(text, spec.origin, "exec"), namespace)
    return namespace["create_pipeline"]
