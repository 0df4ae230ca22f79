"""The types of a TFJob (kubeflow.org/v1) for `workflow_schema`, as far as they are used here.

The types of Kubernetes' own objects are hera's.
"""

from hera.workflows import models

from pipeline.kubeflow.argo.workflow_schema import Model


class RunPolicy(Model):
    """When pods and the job are deleted."""

    cleanPodPolicy: str
    ttlSecondsAfterFinished: int


class Pod(Model):
    """The `spec` of a task's pod."""

    containers: list[models.Container]
    volumes: list[models.Volume] | None = None
    nodeSelector: dict[str, str] | None = None
    serviceAccountName: str | None = None
    securityContext: models.PodSecurityContext | None = None
    imagePullSecrets: list[models.LocalObjectReference] | None = None


class Template(Model):
    """The template of a task's pod."""

    metadata: models.ObjectMeta
    spec: Pod


class Replica(Model):
    """The tasks with one role."""

    replicas: int
    restartPolicy: str
    template: Template


class Spec(Model):
    """The `spec` of a TFJob."""

    runPolicy: RunPolicy
    tfReplicaSpecs: dict[str, Replica]


class TFJob(Model):
    """A TFJob to be created."""

    apiVersion: str
    kind: str
    metadata: models.ObjectMeta
    spec: Spec
