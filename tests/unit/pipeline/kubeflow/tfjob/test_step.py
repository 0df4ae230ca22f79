"""Tests of a step's `--tfjob`, which the launcher gets and TFX's entry point does not."""

import json
import pathlib
import types

import pytest
import yaml
from etils import epath
from kubernetes_server.api import RUN
from tfx.orchestration.kubeflow import container_entrypoint

from models.distributed import launchers
from models.distributed.supervisor import TaskError
from models.progress.training_progress import Progress
from models.settings.training_settings import Tasks
from pipeline.kubeflow.compile import compiler as compile_lib
from pipeline.kubeflow.local_argo import metadata_server
from pipeline.kubeflow.step_container import TFJOB_FLAG
from pipeline.kubeflow.steps import step
from tests.helpers import cluster_config

KING_COUNTY = pathlib.Path("data/king_county/pipeline.yaml")


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """Gives the Trainer's arguments with Argo's values; the metadata store has no inputs for it."""
    monkeypatch.setenv("WORKFLOW_ID", "run-1")
    # Restores what the step changes in this process.
    show = container_entrypoint._dump_ui_metadata
    monkeypatch.setattr(container_entrypoint, "_dump_ui_metadata", show)
    with metadata_server.serving(tmp_path / "metadata.sqlite") as port:
        asked = [
            "train.cluster={workers: 1}",
            "kubeflow.tfjob={}",
            f"kubeflow.metadata={{host: 127.0.0.1, port: {port}}}",
        ]
        compiled = compile_lib.compile_all(*cluster_config.load(KING_COUNTY, asked), tmp_path)
        workflow = yaml.safe_load(compiled.files[0].read_text())
        values = {
            f"inputs.parameters.{item['name']}": item["value"]
            for item in workflow["spec"]["arguments"]["parameters"]
        }
        # As in a run's manifest, where Kubeflow Pipelines replaces the uid with the run's id.
        values |= {"workflow.name": RUN["name"], "workflow.uid": "the run's id"}
        templates = {item["name"]: item for item in workflow["spec"]["templates"]}
        arguments = templates["trainer"]["container"]["args"]
        for name, value in values.items():
            arguments = [text.replace(f"{{{{{name}}}}}", value) for text in arguments]
        arguments[arguments.index("--metadata_ui_path") + 1] = str(tmp_path / "outputs" / "ui.json")
        yield arguments


@pytest.fixture
def launcher_of(monkeypatch):
    """Returns a function that runs a step and returns the launcher that it installed meanwhile."""

    def run(arguments) -> launchers.Launcher:
        used = []
        monkeypatch.setattr(step, "_show", lambda *_: used.append(launchers.current()))
        step.main(arguments)
        assert isinstance(launchers.current(), launchers.OnThisMachine), "restored at the end"
        (launcher,) = used
        return launcher

    return run


def test_in_a_cluster_the_tasks_are_pods(arguments, launcher_of, serve, tmp_path):
    api = serve(verdict="Succeeded")
    launcher = launcher_of(arguments)
    directory = epath.Path(tmp_path / "training" / "0123456789abcdef")
    names = ("train_files", "eval_files", "schema_path", "transform_output", "custom_config")
    fn_args = types.SimpleNamespace(**dict.fromkeys(names))
    assert launcher.clear(directory)
    launcher.train(Tasks(max_restarts=3), directory, fn_args, Progress(1))
    made = api.jobs["king-county-0123456789abcdef"].manifest
    given = json.loads(arguments[arguments.index(TFJOB_FLAG) + 1])
    assert made["metadata"]["ownerReferences"] == [RUN]
    api.collect()
    assert api.jobs
    assert list(made["spec"]["tfReplicaSpecs"]) == list(given["spec"]["tfReplicaSpecs"])


def test_outside_a_cluster_the_tasks_are_processes(arguments, launcher_of, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert isinstance(launcher_of(arguments), launchers.OnThisMachine)


def test_without_the_argument_the_tasks_are_processes(arguments, launcher_of, serve):
    api = serve()
    at = arguments.index(TFJOB_FLAG)
    assert isinstance(launcher_of([*arguments[:at], *arguments[at + 2 :]]), launchers.OnThisMachine)
    assert api.requests == []


def test_a_pod_without_a_service_account_fails_before_training(arguments, serve, account):
    serve()
    (account.pod / "token").unlink()
    with pytest.raises(TaskError, match="kubeflow.tfjob: no service account at "):
        step.main(arguments)
