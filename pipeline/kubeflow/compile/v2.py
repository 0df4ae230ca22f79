"""V2 pipelines: a PipelineJob for Vertex AI and a spec for open-source Kubeflow Pipelines 2.

TFX's compiler writes the graph; this module adds what it leaves out, in the form that each engine
reads. The sources of open-source Kubeflow Pipelines (KFP) show how it treats a spec:

- It only accepts schema 2.1.0 (`backend/src/apiserver/template/v2_template.go`), and as values
  `runtimeValue.constant` and `componentInputParameter` (`backend/src/v2/driver/driver.go`,
  `resolveInputParameter`).
- It ignores a container's `lifecycle`, which on Vertex AI adds a fingerprint of the table to the
  key of ExampleGen's cache. KFP's cache could return the examples of another table, so ExampleGen
  is not cached there.
- An artifact's address must be in an object store (`backend/src/v2/component/launcher_v2.go`,
  `prepareOutputFolders`). If the workspace is on a volume, the installation's own pipeline root
  is used.
- Requests and limits are in cores and in units of 10^9 bytes; an accelerator's type is the name of
  a Kubernetes resource (`driver.go`, `initPodSpecPatch`). Vertex AI chooses a machine by the
  limits, and names accelerators by model.
- Settings specific to Kubernetes are in a second document of the YAML file
  (`kubernetes_platform/proto/kubernetes_executor_config.proto`).
- Nothing is retried without a maximum duration (`compiler/argocompiler/container.go` sets it to 0).
"""

import copy
import dataclasses
import os
from typing import Any

from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from pipeline.config.configuration import Config
from pipeline.config.kubeflow_config import Kubeflow, Resources
from pipeline.graph import nodes
from pipeline.graph.arguments import Arguments
from pipeline.graph.pipeline import create_pipeline
from pipeline.kubeflow.compile import parameters
from pipeline.kubeflow.step_container import V2_STEP_COMMAND

JOB = "pipeline_job.json"
"""The file for Vertex AI."""
SPEC = "pipeline_spec.yaml"
"""The file for open-source Kubeflow Pipelines 2."""

_BUCKET = "gs://"
_PATHS = (parameters.DATA_DIRECTORY, parameters.TRAINING_ROOT, parameters.SERVING_DIRECTORY)
_ACCELERATOR = "cloud.google.com/gke-accelerator"
"""The node label with the model of the GPU."""
_BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_LONGEST_RETRYING = {"vertex": "3600s", "kfp": f"{30 * 24 * 3600}s"}
"""Maximum time for retries: Vertex AI's limit; KFP counts from the start of the first attempt."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A compiled V2 pipeline.

    Attributes:
        job: the PipelineJob for Vertex AI.
        spec: the YAML documents for KFP: the pipeline and, if any, the settings for Kubernetes.
        notes: notes on settings that are missing from one or both of them.
    """

    job: dict[str, Any]
    spec: list[dict[str, Any]]
    notes: list[str]


def compiled(config: Config, kubeflow: Kubeflow) -> Compiled:
    """Returns the V2 pipeline of a problem, which depends only on configuration and code.

    Args:
        config: the problem's configuration.
        kubeflow: its `kubeflow` section.

    Raises:
        UserError: see `parameters.of_cluster`.
    """
    arguments = parameters.of_v2(config, kubeflow)
    job = _graph(kubeflow, arguments, create_pipeline(config, arguments))
    environment = {"PYTHONPATH": parameters.python_path(config), **kubeflow.environment}
    for container in _containers(job["pipelineSpec"]).values():
        container["env"] = [{"name": name, "value": environment[name]} for name in environment]
    spec = copy.deepcopy(job["pipelineSpec"])
    vertex_notes = _fit_vertex(job, kubeflow, arguments)
    _fit_kfp(spec, kubeflow, arguments)
    documents = [spec, *_kubernetes(kubeflow, list(_containers(spec)))]
    return Compiled(job, documents, [*_notes(config, kubeflow), *vertex_notes])


def _graph(settings: Kubeflow, arguments: Arguments, pipeline) -> dict[str, Any]:
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=settings.image,
            default_commands=list(V2_STEP_COMMAND),
            use_pipeline_spec_2_1=True,
        )
    )
    job = runner.run(pipeline, write_out=False)
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    # The deployed model may change while their inputs do not, and no driver checks for that.
    for name in (nodes.BASELINE, nodes.PUSHER):
        tasks[name]["cachingOptions"] = {"enableCache": False}
    return job


def _containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the containers by step."""
    executors = spec["deploymentSpec"]["executors"]
    return {
        step: executors[component["executorLabel"]]["container"]
        for step, component in spec["components"].items()
    }


def _fit_vertex(job: dict[str, Any], settings: Kubeflow, arguments: Arguments) -> list[str]:
    """Adapts the job to Vertex AI, where only buckets outlive a step; returns notes."""
    spec = job["pipelineSpec"]
    values = parameters.defaults(arguments)
    missing = []
    for name in _PATHS:
        if os.path.isabs(str(values[name])):
            missing.append(name)
            del values[name]
    _give_defaults(spec, values)
    job["runtimeConfig"] = {"parameterValues": values}
    if arguments.pipeline_root.startswith(_BUCKET):
        job["runtimeConfig"]["gcsOutputDirectory"] = arguments.pipeline_root
    else:
        missing.insert(0, "the pipeline root")
    model = settings.node_selector.get(_ACCELERATOR, "").upper().replace("-", "_")
    without_gpu = []
    for step, container in _containers(spec).items():
        resources = settings.resources_of(step)
        if resources is None:
            continue
        amounts = _amounts(cpuLimit=resources.cpu_limit or resources.cpu, memory=resources.memory)
        if resources.gpu and model:
            amounts["accelerator"] = {"type": model, "count": resources.gpu}
        elif resources.gpu:
            without_gpu.append(step)
        container["resources"] = amounts
    _retry(spec, settings, _LONGEST_RETRYING["vertex"])
    notes = []
    if missing:
        notes.append(
            f"{JOB}: Vertex AI has no volumes; when submitting, give {', '.join(missing)} "
            "(such as gs://bucket/folder)"
        )
    if without_gpu:
        notes.append(
            f"{JOB}: {', '.join(without_gpu)} gets no GPU, as Vertex AI needs its model; name "
            f"it, such as kubeflow.node_selector: {{{_ACCELERATOR}: nvidia-tesla-t4}}"
        )
    return notes


def _fit_kfp(spec: dict[str, Any], settings: Kubeflow, arguments: Arguments) -> None:
    """Adapts the spec to KFP; artifacts must be in object stores, the rest may be on volumes."""
    _give_defaults(spec, parameters.defaults(arguments))
    tasks = spec["root"]["dag"]["tasks"]
    for step, container in _containers(spec).items():
        if container.pop("lifecycle", None):
            tasks[step]["cachingOptions"] = {"enableCache": False}
        if resources := settings.resources_of(step):
            container["resources"] = _kfp_resources(resources)
    _retry(spec, settings, _LONGEST_RETRYING["kfp"])
    if arguments.pipeline_root.startswith(_BUCKET):
        spec["defaultPipelineRoot"] = arguments.pipeline_root


def _kfp_resources(resources: Resources) -> dict[str, Any]:
    amounts = _amounts(
        cpuRequest=resources.cpu, cpuLimit=resources.cpu_limit, memory=resources.memory
    )
    if resources.memory:
        amounts["memoryRequest"] = amounts["memoryLimit"]
    if resources.gpu:
        amounts["accelerator"] = {"type": "nvidia.com/gpu", "count": resources.gpu}
    return amounts


def _amounts(memory: str | None, **cpus: str | None) -> dict[str, Any]:
    amounts = {
        name: int(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
        for name, cpu in cpus.items()
        if cpu
    }
    if memory:
        amounts["memoryLimit"] = int(memory[:-2]) * _BYTES[memory[-2:]] / 1e9
    return amounts


def _give_defaults(spec: dict[str, Any], values: dict[str, Any]) -> None:
    """Sets the defaults of the parameters, which TFX drops."""
    for name, parameter in spec["root"]["inputDefinitions"]["parameters"].items():
        if name in values:
            parameter["defaultValue"] = values[name]


def _retry(spec: dict[str, Any], settings: Kubeflow, longest: str) -> None:
    retries = settings.retries
    if not retries.limit:
        return
    for task in spec["root"]["dag"]["tasks"].values():
        task["retryPolicy"] = {
            "maxRetryCount": retries.limit,
            "backoffDuration": f"{retries.backoff}s",
            "backoffFactor": retries.factor,
            "backoffMaxDuration": longest,
        }


def _kubernetes(settings: Kubeflow, steps: list[str]) -> list[dict[str, Any]]:
    """Returns a list with the second document, which is empty if no setting requires one."""
    config: dict[str, Any] = {}
    if settings.volumes:
        config["pvcMount"] = [
            {"constant": claim, "mountPath": mount} for claim, mount in settings.volumes.items()
        ]
    if settings.secrets:
        config["secretAsEnv"] = [
            {"secretName": secret, "keyToEnv": [{"secretKey": key, "envVar": name}]}
            for name, (secret, _, key) in (
                (name, reference.partition("/")) for name, reference in settings.secrets.items()
            )
        ]
    if settings.labels:
        config["podMetadata"] = {"labels": dict(settings.labels)}
    if settings.node_selector:
        config["nodeSelector"] = {"labels": dict(settings.node_selector)}
    if settings.image_pull_secrets:
        config["imagePullSecret"] = [{"secretName": name} for name in settings.image_pull_secrets]
    if not config:
        return []
    executors = {f"{step}_executor": copy.deepcopy(config) for step in steps}
    return [{"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}]


def _notes(config: Config, settings: Kubeflow) -> list[str]:
    """Returns notes on settings that V2 engines take at submission or not at all."""
    notes = []
    if settings.service_account:
        notes.append(
            f"{JOB}, {SPEC}: give the service account ({settings.service_account}) when submitting"
        )
    if settings.metadata:
        notes.append(f"{JOB}, {SPEC}: kubeflow.metadata is not used; V2 engines have their own")
    if settings.retries.limit and settings.retries.policy != "Always":
        notes.append(
            f"{JOB}, {SPEC}: kubeflow.retries.policy is not used; all failures are retried"
        )
    if config.beam.is_elsewhere:
        notes.append(
            f"{JOB}, {SPEC}: V2 steps keep their artifacts in files, which Beam workers outside "
            "the step's container (beam.engine, beam.args) cannot see"
        )
    if settings.tfjob:
        notes.append(
            f"{JOB}, {SPEC}: kubeflow.tfjob is not used; the tasks of train.cluster are processes "
            "of the trainer's step"
        )
    lost = ("volumes", "secrets", "labels", "node_selector", "image_pull_secrets")
    if asked := [f"kubeflow.{key}" for key in lost if getattr(settings, key)]:
        notes.append(
            f"{JOB}: Vertex AI has no equivalent of {', '.join(asked)}; only {SPEC} uses them"
        )
    return notes
