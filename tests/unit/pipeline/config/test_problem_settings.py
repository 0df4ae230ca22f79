"""Tests of the settings that steps of the pipeline get from a configuration."""

import json

import pytest

from components.evaluator.bounds import Bound
from components.evaluator.judgement import Judgement, Slice
from pipeline.config import config_file, problem_settings
from pipeline.graph import pipeline

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
        return json.loads(json.dumps(problem_settings.settings(config)))

    return load


def test_labels_features_and_the_rest_as_json(problem):
    assert problem() == {
        "labels": [
            {
                "name": "price",
                "task": "regression",
                "log_label": True,
                "interval": 0.9,
                "class_weights": None,
            },
            {
                "name": "sea",
                "task": "binary",
                "log_label": None,
                "interval": None,
                "class_weights": "balanced",
            },
        ],
        "features": {
            "quality": {"kind": "ordinal", "order": ["low", "high"]},
            "zip": {"kind": "categorical"},
            "id": {"kind": "ignore"},
        },
        "derived": {"age": "sold - built"},
        "weight": "sure",
    }


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
def test_transform_is_told_only_what_it_depends_on(problem, override, same):
    assert problem(override) != problem()
    one, other = (pipeline._transformed(made) for made in (problem(), problem(override)))
    assert (one == other) is same


def test_the_judgement_has_the_metrics_of_every_label(tmp_path):
    (tmp_path / "pipeline.yaml").write_text(TEXT)
    overrides = ["gates.coverage.at_least=0.8", "gates.sea/auc.may_worsen_by=0.1", "slices=[zip]"]
    config = config_file.load(tmp_path / "pipeline.yaml", overrides)
    assert config.judgement == Judgement(
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
