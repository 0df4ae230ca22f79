"""Compilation of the pipeline to an Argo Workflow for Kubeflow Pipelines and to V2 pipelines."""

import json
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml
from kfp import dsl
from kubernetes import client as k8s
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.orchestration.kubeflow import kubeflow_dag_runner
from tfx.orchestration.kubeflow.proto import kubeflow_pb2
from tfx.utils import telemetry_utils

from models.errors import BAD_INPUT, UserError, nearest
from models.zoo import registry
from pipeline.config.configuration import Config
from pipeline.config.kubeflow_config import DEFAULT, Kubeflow, Resources
from pipeline.config.problem_settings import train_settings
from pipeline.graph import nodes
from pipeline.graph.pipeline import create_pipeline
from pipeline.kubeflow.compile import parameters, v2
from pipeline.kubeflow.compile.run_parameters import literal
from pipeline.kubeflow.output_names import METRICS, UI_METADATA
from pipeline.kubeflow.step_container import OUTPUTS_DIRECTORY, POD_NAME, STEP_COMMAND, TFJOB_FLAG
from pipeline.kubeflow.tfjob import tfjob_manifest as tfjob

WORKFLOW = "workflow.yaml"

_USER = 1000  # the image's user and group


class Compiled(NamedTuple):
    """The compiled files, with notes on settings that some of them leave out."""

    files: list[pathlib.Path]
    notes: list[str]


def compile_all(config: Config, kubeflow: Kubeflow, folder: pathlib.Path) -> Compiled:
    """Compiles the pipeline and writes the files that clusters run.

    Args:
        config: the problem's configuration.
        kubeflow: its `kubeflow` section.
        folder: the output directory; created if missing.

    Raises:
        UserError: a setting is wrong, or the data or the model would not be in the image.
    """
    pipeline = create_pipeline(config, parameters.of_cluster(config, kubeflow))
    _check(config, kubeflow, [component.id for component in pipeline.components])
    workflow = argo_workflow(config, kubeflow, pipeline)
    second = v2.compiled(config, kubeflow)
    texts = {
        WORKFLOW: yaml.safe_dump(workflow, sort_keys=False, width=100),
        v2.JOB: json.dumps(second.job, indent=2, sort_keys=True) + "\n",
        v2.SPEC: yaml.safe_dump_all(second.spec, width=100),
    }
    for name, text in texts.items():
        _write(folder / name, text)
    return Compiled([folder / name for name in texts], second.notes)


def _check(config: Config, kubeflow: Kubeflow, steps: list[str]) -> None:
    mistakes = [
        f"kubeflow.resources.{step}: no such step{nearest(step, [DEFAULT, *steps])}"
        for step in kubeflow.resources
        if step not in (DEFAULT, *steps)
    ]
    own_model = config.model.name not in registry.MODELS
    if own_model and parameters.relative_folder(config) is None:
        mistakes.append(
            f"model.name: {config.model.name} is in {config.folder}, which is not in the image; "
            "move the folder into data/"
        )
    if kubeflow.tfjob and not config.train.cluster:
        mistakes.append(
            "kubeflow.tfjob: found without train.cluster, whose tasks it runs; set it, such as "
            "train.cluster: {workers: 2}, or remove it"
        )
    elif kubeflow.tfjob and config.train.cluster and config.train.cluster.mirrored:
        mistakes.append(
            "kubeflow.tfjob: found with train.cluster.mirrored, which the Trainer's pod does by "
            "itself; remove it, or set train.cluster: {workers: 2}"
        )
    if mistakes:
        raise UserError("\n".join(mistakes))


def argo_workflow(
    config: Config, kubeflow: Kubeflow, pipeline: tfx_pipeline.Pipeline
) -> dict[str, Any]:
    """Returns the Argo Workflow of a pipeline, which depends only on configuration and code."""
    runner_config = kubeflow_dag_runner.KubeflowDagRunnerConfig(
        tfx_image=kubeflow.image,
        kubeflow_metadata_config=_metadata(kubeflow),
        pipeline_operator_funcs=[
            _configured(config, kubeflow),
            *_metadata_of_installation(kubeflow),
        ],
    )
    # Leaves out TFX's label "add-pod-env", which would give steps variables that they never read.
    labels = {telemetry_utils.LABEL_KFP_SDK_ENV: "tfx"}
    with tempfile.TemporaryDirectory() as scratch:
        kubeflow_dag_runner.KubeflowDagRunner(
            scratch, WORKFLOW, runner_config, pod_labels_to_attach=labels
        ).run(pipeline)
        workflow = yaml.safe_load((pathlib.Path(scratch) / WORKFLOW).read_text(encoding="utf-8"))
    annotations = workflow["metadata"]["annotations"]
    del annotations["pipelines.kubeflow.org/pipeline_compilation_time"]
    spec = json.loads(annotations["pipelines.kubeflow.org/pipeline_spec"])
    spec["description"] = f"{config.name}: predicts {config.label}"
    annotations["pipelines.kubeflow.org/pipeline_spec"] = json.dumps(spec)
    spec = workflow["spec"]
    # fsGroup: the volumes' files belong to the group that the steps run as.
    spec["securityContext"] = {"runAsNonRoot": True, "runAsUser": _USER, "fsGroup": _USER}
    spec["serviceAccountName"] = kubeflow.service_account or spec["serviceAccountName"]
    if kubeflow.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in kubeflow.image_pull_secrets]
    tasks = train_settings(config.train).tasks
    for template in spec["templates"]:
        if "container" in template:
            _sort_representation(template["container"]["args"])
            _give_outputs_own_directory(template)
            is_trainer = _step_of(template["container"]["args"]) == nodes.TRAINER
            if kubeflow.tfjob and tasks and is_trainer:
                job = tfjob.of(config.name, tasks, kubeflow, kubeflow.tfjob, template, spec)
                template["container"]["args"] += [TFJOB_FLAG, json.dumps(job, sort_keys=True)]
                pod_name = {"fieldRef": {"fieldPath": "metadata.name"}}
                template["container"]["env"].append({"name": POD_NAME, "valueFrom": pod_name})
        if "retryStrategy" in template:
            template["retryStrategy"]["expression"] = f"asInt(lastRetry.exitCode) != {BAD_INPUT}"
    return workflow


def _sort_representation(args: list[str]) -> None:
    """Sorts the keys of a step's IR, which TFX writes in arbitrary order, and escapes `{{`.

    A column or a file may be called `{{a}}`, which Argo would take for a variable.
    """
    index = args.index("--tfx_ir") + 1
    args[index] = literal(json.dumps(json.loads(args[index]), sort_keys=True))


def _give_outputs_own_directory(template: dict[str, Any]) -> None:
    """Gives a step its own output directory, as parallel steps may share a file system."""
    args = template["container"]["args"]
    step = _step_of(args)
    directory = f"{OUTPUTS_DIRECTORY}/{step}"
    args[args.index("--metadata_ui_path") + 1] = f"{directory}/{UI_METADATA}.json"
    names = [UI_METADATA, METRICS] if step in (nodes.EVALUATOR, nodes.PUSHER) else [UI_METADATA]
    template["outputs"]["artifacts"] = [
        {"name": name, "path": f"{directory}/{name}.json"} for name in names
    ]


def _step_of(args: list[str]) -> str:
    """Returns the id of a container's node, with the capitals that Kubernetes' names lack."""
    return args[args.index("--node_id") + 1]


def _metadata(settings: Kubeflow) -> Any:
    if settings.metadata is None:
        return None
    config = kubeflow_pb2.KubeflowMetadataConfig()
    config.grpc_config.grpc_service_host.value = settings.metadata.host
    config.grpc_config.grpc_service_port.value = str(settings.metadata.port)
    return config


def _metadata_of_installation(settings: Kubeflow) -> list[Callable]:
    """Returns functions that set the variables which the default metadata configuration reads."""
    if settings.metadata:
        return []
    return kubeflow_dag_runner.get_default_pipeline_operator_funcs()


def _configured(config: Config, settings: Kubeflow) -> Callable[[dsl.ContainerOp], None]:
    """Returns a function that applies the `kubeflow:` section to a step."""

    def configure(op: dsl.ContainerOp) -> None:
        # TFX caches; the installation's own cache would return artifacts that no longer exist.
        op.enable_caching = False
        container = op.container
        container.command = list(STEP_COMMAND)
        container.add_env_variable(k8s.V1EnvVar("PYTHONPATH", parameters.python_path(config)))
        for name, value in settings.environment.items():
            container.add_env_variable(k8s.V1EnvVar(name, value))
        for name, reference in settings.secrets.items():
            secret, _, key = reference.partition("/")
            selector = k8s.V1SecretKeySelector(name=secret, key=key)
            value_from = k8s.V1EnvVarSource(secret_key_ref=selector)
            container.add_env_variable(k8s.V1EnvVar(name, value_from=value_from))
        for claim, mount in settings.volumes.items():
            source = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=claim)
            op.add_volume(k8s.V1Volume(name=claim, persistent_volume_claim=source))
            container.add_volume_mount(k8s.V1VolumeMount(name=claim, mount_path=mount))
        for name, value in settings.labels.items():
            op.add_pod_label(name, value)
        for name, value in settings.node_selector.items():
            op.add_node_selector_constraint(name, value)
        if resources := settings.resources_of(_step_of(container.args)):
            _give_resources(container, resources)
        retries = settings.retries
        if retries.limit:
            op.set_retry(
                retries.limit,
                policy=retries.policy,
                backoff_duration=f"{retries.backoff}s",
                backoff_factor=retries.factor,
            )

    return configure


def _give_resources(container, resources: Resources) -> None:
    if resources.cpu:
        container.set_cpu_request(resources.cpu)
    if resources.cpu_limit:
        container.set_cpu_limit(resources.cpu_limit)
    if resources.memory:
        container.set_memory_request(resources.memory)
        container.set_memory_limit(resources.memory)
    if resources.gpu:
        container.set_gpu_limit(str(resources.gpu))


def _write(path: pathlib.Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
