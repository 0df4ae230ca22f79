"""Tests of the compiled workflow's parameters, metrics and errors."""

import pytest
import yaml
from pipelines_server import evaluator

from models.errors import UserError
from pipeline.kubeflow.compile.workflow_file import Manifest


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    return evaluator.compile_to(tmp_path_factory.mktemp("compiled") / "workflow.yaml")


def test_parameters_and_reported_metrics(workflow):
    manifest = Manifest.load(workflow)
    assert manifest.parameters({"rmse": "7"}) == {"rmse": "7", "at_most": "115000"}
    assert manifest.reported == {"blessed"}
    content = yaml.safe_load(manifest.text)
    (evaluator_step,) = [t for t in content["spec"]["templates"] if t["name"] == "evaluator"]
    evaluator_step["name"] = "statistics"  # a step of the user's own that reports metrics
    assert not Manifest.parse(yaml.safe_dump(content), "other").reported
    evaluator_step["name"] = "evaluator"
    del evaluator_step["outputs"]
    assert not Manifest.parse(yaml.safe_dump(content), "other").reported


def test_parameters_may_be_written_into_the_workflow(workflow):
    manifest = Manifest.load(workflow)
    changed = manifest.having({"rmse": "1"})
    assert Manifest.parse(changed.text, "changed").parameters({})["rmse"] == "1"
    assert manifest.parameters({})["rmse"] == "100000"
    assert changed.digest != manifest.digest == Manifest.load(workflow).digest


def test_an_unknown_parameter_is_refused(workflow):
    with pytest.raises(UserError) as caught:
        Manifest.load(workflow).parameters({"rmsee": "1"})
    assert str(caught.value) == (
        f"--param rmsee: {workflow} has no such parameter; did you mean rmse? "
        "(known: rmse, at_most)"
    )


def test_a_parameter_without_a_value_is_refused(workflow):
    content = yaml.safe_load(workflow.read_text())
    del content["spec"]["arguments"]["parameters"][0]["value"]
    with pytest.raises(UserError, match="--param rmse: missing; give it as --param rmse=VALUE"):
        Manifest.parse(yaml.safe_dump(content), "test").parameters({})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, ": no such workflow; write it with kubeflow_runner.py compile"),
        ("a: [", ":1: not valid YAML: "),
        ("pipelineInfo: {name: x}", ": found no kind, expected an Argo Workflow; write it with"),
        ("kind: Workflow", ": found no spec, expected an Argo Workflow; write it with"),
        ("kind: Pod", ": found kind Pod, expected an Argo Workflow; write it with"),
        ("- 1", ": found no kind, expected an Argo Workflow; write it with"),
        ("", ": found no kind, expected an Argo Workflow; write it with"),
        ("kind: Workflow\nkind: Workflow", ":2: not valid YAML: duplicate key 'kind'; write it"),
        ("kind: Workflow\n---\nkind: Workflow", ":2: not valid YAML: several documents, expected"),
    ],
)
def test_another_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "workflow.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as caught:
        Manifest.load(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)
