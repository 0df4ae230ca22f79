"""Tests that wrong parameters of a run are refused before it starts."""

import pathlib

import pytest

from models.errors import UserError
from pipeline.config import config_file
from pipeline.kubeflow.compile import run_parameters
from tests.helpers import cluster_config

ROOT = pathlib.Path(__file__).parents[5]
CONFIG, KUBEFLOW = cluster_config.load(ROOT / "data" / "king_county" / "pipeline.yaml")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"max-steps": "0"},
        {"max-steps": "500", "data-directory": "gs://bucket/houses"},
        {"gates": '{"rmse": {"at_most": 90000}}'},
        {"gates": '{"skill": {"at_least": 0.9, "may_worsen_by": 0.1}}'},
        {"gates": '{"rmse": {"at_most": "9e4"}}'},
        {"new-baseline": "price is in {thousands} } now"},
    ],
)
def test_values_that_a_step_accepts_pass(given):
    run_parameters.check(CONFIG, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max-steps": "many"}, "--param max-steps: found 'many', expected a whole number"),
        ({"max-steps": "-5"}, "--param max-steps: found '-5'"),
        ({"data-directory": ""}, "--param data-directory: is empty"),
        (
            {"new-baseline": "{{ a }}"},
            "--param new-baseline: found {{ in '{{ a }}', which Argo reads as the start of a",
        ),
        ({"data-directory": "data/{{a}}"}, "--param data-directory: found {{ in 'data/{{a}}'"),
        ({"gates": "rmse<3"}, "--param gates: found 'rmse<3', expected JSON such as"),
        ({"gates": "[]"}, "--param gates: found '[]', expected JSON such as"),
        ({"gates": '{"rmsee": {}}'}, "--param gates: rmsee: has no bound; did you mean rmse?"),
        ({"gates": '{"rmse": {"at_most": "x"}}'}, "gates: rmse.at_most: expected a number"),
        (
            {"gates": '{"rmse": {"at_mst": 1}}'},
            "gates: rmse.at_mst: unknown key; did you mean at_most?",
        ),
        ({"gates": '{"rmse": 5}'}, "gates: rmse: expected keys and values"),
        ({"gates": '{"rmse": {"at_least": 1}}'}, "gates: rmse: found at_least"),
        ({"gates": '{"rmse": {"at_most": -1}}'}, "gates: rmse.at_most: found -1, expected 0 or"),
        ({"gates": '{"skill": {"at_least": 9}}'}, "gates: skill.at_least: found 9, expected 1 or"),
        (
            {"gates": '{"rmse": {}, "rmsle": {}, "skill": {}}'},
            "--param gates: no absolute bound: without one the first model would be blessed",
        ),
    ],
)
def test_values_that_a_step_would_refuse_are_refused(given, message):
    with pytest.raises(UserError) as error:
        run_parameters.check(CONFIG, given)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_cannot_give_bounds_if_gates_are_never():
    never = config_file.load(ROOT / "data" / "king_county" / "pipeline.yaml", ["gates=never"])
    with pytest.raises(UserError, match="^--param gates: the configuration has gates: never; give"):
        run_parameters.check(never, {"gates": '{"rmse": {"at_most": 90000}}'})
    with pytest.raises(UserError, match="^--param new-baseline: the configuration has gates: nev"):
        run_parameters.check(never, {"new-baseline": "why not"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"serving-directory": "/mnt/pipelines/serving", "data-directory": "data/houses"}, ""),
        ({"pipeline-root": "gs://bucket/root", "data-directory": "gs://bucket/data"}, ""),
        ({"pipeline-root": "/data/root"}, "--param pipeline-root: /data/root is neither in an"),
        (
            {"training-root": "gs:///x"},
            "--param training-root: found gs:///x, expected gs://bucket",
        ),
        ({"training-root": "/mnt/a*b"}, "--param training-root: found /mnt/a*b, in which * starts"),
        ({"data-directory": "/mnt/pipelines/a [v1]"}, ""),
        ({"data-directory": "/home/me/data"}, "--param data-directory: /home/me/data is neither"),
    ],
)
def test_steps_must_share_their_directories(given, message):
    if not message:
        run_parameters.check_directories(KUBEFLOW, given)
        return
    with pytest.raises(UserError) as error:
        run_parameters.check_directories(KUBEFLOW, given)
    assert message in str(error.value)
