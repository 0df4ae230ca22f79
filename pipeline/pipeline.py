"""The pipeline, on one page: every stage in order, and what flows between them."""

import json
from typing import Any

from tfx.components import ExampleValidator, StatisticsGen, Trainer
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.proto import pusher_pb2, trainer_pb2, transform_pb2
from tfx.types import Channel, standard_artifacts

from components.baseline import BaselineStrategy
from components.data_gate import DataGate
from components.evaluator import Evaluator
from components.evaluator.judgement import Bound, Judgement, Slice
from components.pusher import Pusher
from components.schema_gen import SchemaGen
from components.transform import Transform
from components.tuner import Tuner
from models import registry
from pipeline import beam_args, examples, fingerprint, gates
from pipeline.config import Config
from pipeline.workspace import Workspace


def create_pipeline(
    config: Config, workspace: Workspace, last: str | None = None
) -> tfx_pipeline.Pipeline:
    """Puts the stages together for one problem.

    Args:
        config: the problem.
        workspace: where everything that the run makes goes.
        last: the node to end with, in place of the Pusher.
    """
    # The table becomes examples in three splits; rows of one key share a split.
    example_gen = examples.example_gen(config)
    raw_examples = example_gen.outputs["examples"]

    # What is in the data, what should be, and whether the two agree.
    statistics_gen = StatisticsGen(examples=raw_examples)
    if config.data.schema_file:
        schema_gen: Any = Importer(
            source_uri=str(examples.schema_directory(config.data.schema_file, workspace)),
            artifact_type=standard_artifacts.Schema,
        ).with_id("Schema")
        schema = schema_gen.outputs["result"]
    else:
        # From all splits: a value that only the test split has must not stop the first run.
        schema_gen = SchemaGen(
            statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True
        )
        schema = schema_gen.outputs["schema"]
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema
    )
    data_gate = DataGate(anomalies=example_validator.outputs["anomalies"])

    # Raw columns become the packed tensors that the network sees, from the train split's
    # vocabularies, quantiles and moments. The test split stays raw: the Evaluator reads it so.
    transform = Transform(
        examples=raw_examples,
        schema=schema,
        preprocessing_fn="models.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        disable_statistics=True,
        force_tf_compat_v1=True,
        custom_config={
            **_transformed(_problem(config)),
            "code": fingerprint.of_modules(
                "components.transform",
                "models.preprocessing",
                "models.features",
                "models.expressions",
            ),
        },
    )
    transform.add_upstream_node(data_gate)

    # What both of the next two nodes get: the problem, and the splits to train and to steer on.
    training = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema,
        "train_args": trainer_pb2.TrainArgs(splits=["train"]),
        "eval_args": trainer_pb2.EvalArgs(splits=["eval"]),
        "custom_config": {
            "problem": json.dumps(_training(config)),
            "training_root": str(workspace.training),
        },
    }

    # Where the configuration wants it: the hyperparameters that do best on eval.
    tuner = config.tune and Tuner(
        **training, tune=_tune(config), code=fingerprint.of_modules("components.tuner")
    )

    # The custom Estimator: trained on train, steered by eval, its best checkpoint exported.
    trainer = Trainer(
        **training,
        run_fn="models.training.run_fn",
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
    )
    model = trainer.outputs["model"]

    # The gate: the export itself, on raw test examples, against bounds, a constant predictor and
    # the last blessed model.
    baseline = Resolver(
        strategy_class=BaselineStrategy,
        candidate=model,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("Baseline")
    evaluator = Evaluator(
        examples=raw_examples,
        model=model,
        baseline_model=baseline.outputs["model"],
        schema=schema,
        judgement=_judgement(config),
        code=fingerprint.of_modules("components.evaluator", "models.heads", "models.label"),
    )

    # Only what was blessed is deployed.
    pusher = Pusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(
                base_directory=str(config.push.directory or workspace.serving)
            )
        ),
    )

    components = [
        example_gen,
        statistics_gen,
        schema_gen,
        example_validator,
        data_gate,
        transform,
        *([tuner] if tuner else []),
        trainer,
        baseline,
        evaluator,
        pusher,
    ]
    if last:
        end = [component.id for component in components].index(last)
        components = components[: end + 1]
    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(workspace.artifacts),
        metadata_connection_config=sqlite_metadata_connection_config(str(workspace.metadata)),
        enable_cache=True,
        beam_pipeline_args=beam_args.for_components(config.beam),
        components=components,
    )


def _problem(config: Config) -> dict[str, Any]:
    """What Transform and the Trainer both know of the problem, as JSON values."""
    overrides = {
        column: feature.dict(exclude_unset=True) for column, feature in config.features.items()
    }
    if config.splits.key and config.splits.key not in overrides:
        # A key that only says which rows belong together would be learned by heart.
        overrides[config.splits.key] = {"kind": "ignore"}
    labels: list[dict[str, Any]] = [
        {
            "name": config.label,
            "task": config.task,
            "log_label": config.log_label,
            "interval": config.interval,
            "class_weights": config.class_weights,
        }
    ]
    labels += [
        {"name": name, **label.dict(), "interval": None}
        for name, label in config.more_labels.items()
    ]
    return {
        "labels": labels,
        "features": overrides,
        "derived": config.derived,
        "weight": config.weight,
    }


def _transformed(problem: dict[str, Any]) -> dict[str, Any]:
    """What of it Transform depends on: another loss must not transform the data again."""
    labels = [{key: label[key] for key in ("name", "task")} for label in problem["labels"]]
    return {**problem, "labels": labels}


def _training(config: Config) -> dict[str, Any]:
    modules = ["models"]
    files = []
    if config.model.name not in registry.MODELS:
        # The package, or the files beside the configuration, which may import each other.
        modules.append(config.model.name.partition(".")[0])
        files = fingerprint.sources_below(config.folder)
    return {
        **_problem(config),
        "model": config.model.dict(),
        "train": config.train.dict(),
        "code": fingerprint.of_modules(*modules, files=files),
    }


def _tune(config: Config) -> dict[str, Any]:
    assert config.tune
    tune = config.tune.dict()
    return {**tune, "seed": config.train.seed if tune["seed"] is None else tune["seed"]}


def _judgement(config: Config) -> Judgement:
    further = {name: label.task for name, label in config.more_labels.items()}
    labels = gates.of_labels(config.label, config.task, config.interval, further)
    metrics = {key: metric for own in labels.values() for key, metric in own.items()}
    return Judgement(
        metrics={
            label: tuple(metric.name for metric in own.values()) for label, own in labels.items()
        },
        bounds=tuple(
            Bound(
                metric=key,
                title=metrics[key].title,
                lower_is_better=metrics[key].better == gates.LOWER_IS_BETTER,
                absolute=bound.absolute,
                may_worsen_by=bound.may_worsen_by,
            )
            for key, bound in config.gates.items()
        ),
        slices=tuple(
            Slice(column=part.column, bands=part.bands or (), gated=part.gate)
            for part in config.slices
        ),
    )
