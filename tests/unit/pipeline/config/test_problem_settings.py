"""Tests of the settings that steps of the pipeline get from a configuration."""

import pytest

from components.evaluator.bounds import Bound
from components.evaluator.criteria import Criteria, Slice
from models.settings.column_settings import ColumnSettings, FeatureSettings, LabelSettings
from models.settings.training_settings import EarlyStopping, Model, Replicas, Settings, Tasks, Train
from pipeline.config import config_file, problem_settings

TEXT = """\
task: regression
label: price
log_label: true
interval: 0.9
more_labels: {sea: {task: binary, class_weights: balanced}}
weight: sure
data: houses.csv
splits: {key: id}
features: {quality: {kind: ordinal, order: [low, high]}, zip: categorical}
derived: {age: sold - built}
gates: {rmse: {at_most: 5}}
"""


@pytest.fixture
def problem(tmp_path):
    def load(*overrides):
        (tmp_path / "pipeline.yaml").write_text(TEXT)
        config = config_file.load(tmp_path / "pipeline.yaml", overrides)
        return problem_settings.problem_settings(config, "code")

    return load


def test_labels_and_features_come_from_the_configuration(problem):
    assert problem().columns == ColumnSettings(
        labels=(
            LabelSettings("price", "regression", log_label=True, interval=0.9),
            LabelSettings("sea", "binary", class_weights="balanced"),
        ),
        features={
            "quality": FeatureSettings("ordinal", order=("low", "high")),
            "zip": FeatureSettings("categorical"),
            "id": FeatureSettings("ignore"),
        },
        derived={"age": "sold - built"},
        weight="sure",
    )


def test_the_training_comes_from_the_configuration(problem):
    settings = problem("train={epochs: 3, early_stopping: {patience: 9}}", "data.missing=[-9]")
    assert settings.train == Train(epochs=3, early_stopping=EarlyStopping(9))
    assert settings.model == Model("tabm")
    assert (settings.missing, settings.code) == (("-9",), "code")


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        ("{workers: 2, evaluator: false}", Tasks(workers=2, evaluator=False)),
        ("{mirrored: 2}", Replicas(2)),
    ],
)
def test_a_cluster_has_tasks_or_replicas(problem, cluster, expected):
    assert problem(f"train.cluster={cluster}").train.cluster == expected


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["train={early_stopping: {patience: 9}, cluster: {workers: 2}}", "data.missing=[NA]"],
        ["train.cluster={mirrored: 2}", "model.params={hidden: [8, 4]}"],
        ["more_labels.sea.class_weights={'1': 2}"],
    ],
)
def test_settings_survive_the_round_trip_through_json(problem, overrides):
    settings = problem(*overrides)
    assert Settings.from_json(settings.to_json()) == settings
    columns = settings.columns
    assert ColumnSettings.from_json(columns.to_json()) == columns


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("log_label=false", True),
        ("interval=0.8", True),
        ("more_labels.sea.class_weights={'1': 2}", True),
        ("more_labels.sea.task=multiclass", False),
        ("weight=other", False),
        ("derived.age=sold", False),
    ],
)
def test_transform_gets_only_what_it_depends_on(problem, override, same):
    assert problem(override) != problem()
    one, other = (made.columns.for_transform() for made in (problem(), problem(override)))
    assert (one.to_json() == other.to_json()) is same


def test_the_criteria_have_the_metrics_of_every_label(tmp_path):
    (tmp_path / "pipeline.yaml").write_text(TEXT)
    overrides = ["gates.coverage.at_least=0.8", "gates.sea/auc.may_worsen_by=0.1", "slices=[zip]"]
    config = config_file.load(tmp_path / "pipeline.yaml", overrides)
    assert config.criteria == Criteria(
        metrics={
            "price": ("rmse", "mae", "rmsle", "skill", "coverage", "interval_width"),
            "sea": ("auc", "accuracy", "log_loss", "skill"),
        },
        bounds=(
            Bound("rmse", 5.0, None),
            Bound("coverage", 0.8, None),
            Bound("sea/auc", None, 0.1),
        ),
        slices=(Slice("zip"),),
    )
