"""The compiled workflow: what it says, and when it is another one."""

import pytest
import yaml

from pipeline.errors import UserError
from pipeline.kubeflow.package import Package


def test_parameters_and_whether_there_will_be_a_verdict(workflow):
    package = Package.load(workflow)
    assert package.parameters == {"rmse": "100000", "at_most": "115000"}
    assert package.reports_verdict


def test_compiling_again_makes_no_other_workflow(workflow, tmp_path):
    content = yaml.safe_load(workflow.read_text())
    content["metadata"]["annotations"]["pipelines.kubeflow.org/pipeline_compilation_time"] = "now"
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(content))
    assert Package.load(again).digest == Package.load(workflow).digest
    content["spec"]["templates"][0]["container"]["image"] = "python:3.11"
    again.write_text(yaml.safe_dump(content))
    assert Package.load(again).digest != Package.load(workflow).digest


def test_values_in_the_workflow_itself(workflow, tmp_path):
    package = Package.load(workflow)
    changed = package.having({"rmse": "1"}, tmp_path / "workflow.yaml")
    assert Package.load(changed.path).parameters == {"rmse": "1", "at_most": "115000"}
    assert package.parameters["rmse"] == "100000"
    assert changed.digest != package.digest
    assert changed.digest == Package.load(changed.path).digest


def test_values_of_parameters(workflow):
    package = Package.load(workflow)
    assert package.values(["rmse=a=b", "at_most="]) == {"rmse": "a=b", "at_most": ""}
    with pytest.raises(UserError) as caught:
        package.values(["rmsee=1"])
    assert str(caught.value) == (
        f"--param rmsee: {workflow} has no such parameter; did you mean rmse? "
        "(known: rmse, at_most)"
    )
    with pytest.raises(UserError, match="--param rmse: expected NAME=VALUE"):
        package.values(["rmse"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such workflow; `kubeflow_runner.py compile` writes it"),
        ("a: [", "cannot be read as YAML: while parsing"),
        ("pipelineInfo: {name: x}", "expected an Argo Workflow (kind: Workflow)"),
        ("kind: Workflow", "expected an Argo Workflow (kind: Workflow)"),
    ],
)
def test_what_is_no_workflow_is_one_line(tmp_path, content, message):
    path = tmp_path / "workflow.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as caught:
        Package.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)
