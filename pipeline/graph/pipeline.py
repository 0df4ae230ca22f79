"""The pipeline on one page: every stage in order, and the artifacts that flow between them."""

import pathlib
import re
from typing import Any

from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto import transform_pb2

from components.baseline import Baseline
from components.curated_schema import CuratedSchema
from components.data_gate import DataGate
from components.evaluator.component import Evaluator
from components.example_validator import ExampleValidator
from components.pusher import Pusher
from components.schema_gen import SchemaGen
from components.serving_check import ServingCheck
from components.statistics_gen import StatisticsGen
from components.trainer import Trainer
from components.transform import Transform
from components.tuner import Tuner
from components.tuner.tune_settings import Choices, Range, TuneSettings
from models.zoo import registry
from pipeline.config.configuration import Config
from pipeline.config.problem_settings import column_settings, problem_settings
from pipeline.config.tune_config import Dimension, Tune
from pipeline.graph import beam_args, example_source, fingerprint, nodes
from pipeline.graph.arguments import Arguments

_EXAMPLE_IO = (
    "components.example_io",
    "components.tables.byte_arrays",
    "components.tables.tfrecords",
)


def create_pipeline(
    config: Config, arguments: Arguments, last: str | None = None
) -> tfx_pipeline.Pipeline:
    """Assembles the pipeline of one problem.

    Args:
        config: the problem's configuration.
        arguments: the arguments that depend on where the pipeline runs.
        last: the id of the node to end with; by default the Pusher.
    """
    # The table becomes examples in three splits; rows of one key share a split.
    example_gen = example_source.example_gen(config, arguments.data_directory)
    raw_examples = example_gen.outputs["examples"]

    # Statistics of the data, the schema that it should match, and whether it does.
    statistics_gen = StatisticsGen(examples=raw_examples)
    if config.data.schema_file:
        schema_gen: Any = CuratedSchema(
            config.data.schema_file.read_text(encoding="utf-8"),
            statistics=statistics_gen.outputs["statistics"],
            code=fingerprint.of_modules(
                "components.curated_schema", "components.example_io.empty_columns"
            ),
        )
    else:
        # From all splits: a value that only the test split has must not stop the first run.
        schema_gen = SchemaGen(
            statistics=statistics_gen.outputs["statistics"],
            examples=raw_examples,
            code=fingerprint.of_modules(
                "components.schema_gen",
                "components.example_io.empty_columns",
                "components.tables.ingestion",
                "models.features.text_values",
            ),
        )
    schema = schema_gen.outputs["schema"]
    example_validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema
    )
    data_gate = DataGate(anomalies=example_validator.outputs["anomalies"])

    # Raw columns become the packed tensors that the network sees, with the train split's
    # vocabularies, quantiles and moments. The test split stays raw, as the Evaluator reads it.
    transform = Transform(
        examples=raw_examples,
        schema=schema,
        preprocessing_fn="models.features.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(
            analyze=nodes.TRANSFORM_ANALYZES, transform=nodes.TRANSFORM_TRANSFORMS
        ),
        disable_statistics=True,
        # Nothing reads this cache: a run continues from checkpoints and artifacts.
        disable_analyzer_cache=True,
        force_tf_compat_v1=True,
        custom_config={
            "columns": column_settings(config).for_transform().to_json(),
            "code": fingerprint.of_modules(
                *_EXAMPLE_IO,
                "components.transform",
                "models.features.expressions",
                "models.features.features",
                "models.features.label",
                "models.features.label_statistics",
                "models.features.number_features",
                "models.features.packed_tensors",
                "models.features.preprocessing",
                "models.features.raw_columns",
                "models.features.scaling",
                "models.features.text_values",
                "models.features.vocabularies",
                "models.features.vocabulary_analyzer",
                "models.settings.column_settings",
            ),
        },
    )
    transform.add_upstream_node(data_gate)

    # Inputs of both the Tuner and the Trainer.
    training = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema,
        "problem": problem_settings(config, _model_code(config)),
        "training_root": arguments.training_root,
    }

    # If configured: searches for the hyperparameters that do best on the eval split.
    tuner = config.tune and Tuner(
        **training,
        tune=_tune(config.tune, config.train.seed),
        code=fingerprint.of_modules("components.tuner"),
    )

    # The custom Estimator: trained on train, steered by eval; its best checkpoint is exported.
    trainer = Trainer(
        **training,
        max_steps=arguments.max_steps,
        hyperparameters=tuner.outputs["best_hyperparameters"] if tuner else None,
    )
    model = trainer.outputs["model"]

    # Checks that the export serves in a clean process: alone, in batches, by every signature.
    # No fingerprint from here on names `models`: a change there makes another model.
    serving_check = ServingCheck(
        model=model,
        examples=raw_examples,
        schema=schema,
        code=fingerprint.of_modules("components.serving_check", *_EXAMPLE_IO),
    )

    # The gate: the export itself is scored on raw test examples and compared with the bounds, a
    # constant predictor and the deployed model.
    baseline = Baseline(
        candidate=model,
        directory=arguments.serving_directory,
        code=fingerprint.of_modules("components.baseline", "components.deployments"),
    )
    evaluator = Evaluator(
        examples=raw_examples,
        model=model,
        serving_check=serving_check.outputs["serving_check"],
        baseline_model=baseline.outputs["model"],
        schema=schema,
        criteria=config.criteria,
        gates=arguments.gates,
        new_baseline=arguments.new_baseline,
        code=fingerprint.of_modules(
            "components.evaluator",
            "components.artifact_names",
            *_EXAMPLE_IO,
            "components.serving_check.graph_faults",
            "components.serving_check.program",
            "components.serving_check.report",
            "components.deployments",
        ),
    )

    # Only a blessed model is deployed.
    pusher = Pusher(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        directory=arguments.serving_directory,
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
        serving_check,
        baseline,
        evaluator,
        pusher,
    ]
    if last:
        end = [component.id for component in components].index(last)
        components = components[: end + 1]
    return tfx_pipeline.Pipeline(
        pipeline_name=arguments.pipeline_name,
        pipeline_root=arguments.pipeline_root,
        metadata_connection_config=arguments.metadata,
        enable_cache=True,
        beam_pipeline_args=beam_args.for_components(config.beam),
        components=components,
    )


def _model_code(config: Config) -> str:
    """Returns the fingerprint of the code that determines the trained model."""
    code = fingerprint.of_modules("models")
    if not registry.is_user_model(config.model.name):
        return code
    # A user's model_fn may use its own package and any file beside the configuration.
    package = fingerprint.of_modules(config.model.name.partition(".")[0])
    return f"{code}-{package}-{fingerprint.of_folder(config.folder, _not_of_the_model(config))}"


def _not_of_the_model(config: Config) -> list[pathlib.Path]:
    """Returns paths beside the configuration that are not code, or have their own fingerprints."""
    by_span = re.sub(r"\{[A-Z]+(:\d+)?\}", "*", config.data.pattern)
    tables = config.data.folder.glob(by_span)
    others = (config.file, config.data.schema_file, config.push.directory)
    return [*tables, *(path for path in others if path)]


def _tune(tune: Tune, seed: int) -> TuneSettings:
    return TuneSettings(
        trials=tune.trials,
        parallel=tune.parallel,
        pruner=tune.pruner,
        metric=tune.metric,
        goal=tune.goal,
        max_steps=tune.max_steps,
        evaluate_every=tune.evaluate_every or 0,
        seed=seed if tune.seed is None else tune.seed,
        search={key: _dimension(dimension) for key, dimension in tune.search.items()},
    )


def _dimension(dimension: Dimension) -> Range | Choices:
    if dimension.low is None or dimension.high is None:
        return Choices(dimension.choices or ())
    return Range(dimension.low, dimension.high, dimension.step, dimension.log)
