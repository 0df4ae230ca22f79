"""Arguments of `run_fn` for a transformed table."""

import dataclasses
import pathlib

from tfx.components.trainer import fn_args_utils

from models.settings.training_settings import Model, Settings, Train

TRAIN = Train(
    max_steps=40, batch_size=64, evaluate_every=10, keep_checkpoints=2, cache_mb=64, seed=1
)


def fn_args(table, folder: pathlib.PurePath, model=("bump_model.model_fn", {}), code="1", **train):
    """Returns `FnArgs` for a transformed table; `train` replaces values in `TRAIN`."""
    settings = Settings(
        table.columns, Model(*model), dataclasses.replace(TRAIN, **train), code=code
    )
    return fn_args_utils.FnArgs(
        train_files=[str(pathlib.Path(file).with_name("train-*")) for file in table.train_files],
        eval_files=[str(pathlib.Path(file).with_name("eval-*")) for file in table.eval_files],
        schema_path=table.schema_path,
        transform_output=table.graph,
        serving_model_dir=str(folder / "model" / "Format-Serving"),
        model_run_dir=str(folder / "run"),
        custom_config={
            "problem": settings.to_json(),
            "training_root": str(folder / "training"),
        },
    )
