"""The types of a TFJob (kubeflow.org/v1), as far as ours has it: `schema` holds one against them.

Those of what is Kubernetes' own are hera's.
"""

from hera.workflows import models

from pipeline.kubeflow.rules.schema import Model


class RunPolicy(Model):
    """What becomes of the job's pods, and of the job."""

    cleanPodPolicy: str
    ttlSecondsAfterFinished: int
    backoffLimit: int


class Pod(Model):
    """The `spec` of a task's pod."""

    containers: list[models.Container]
    volumes: list[models.Volume] | None = None
    nodeSelector: dict[str, str] | None = None
    serviceAccountName: str | None = None
    securityContext: models.PodSecurityContext | None = None
    imagePullSecrets: list[models.LocalObjectReference] | None = None


class Template(Model):
    """The pod of a task."""

    metadata: models.ObjectMeta
    spec: Pod


class Replica(Model):
    """The tasks of one kind."""

    replicas: int
    restartPolicy: str
    template: Template


class Spec(Model):
    """What a TFJob asks for."""

    runPolicy: RunPolicy
    tfReplicaSpecs: dict[str, Replica]


class TFJob(Model):
    """A TFJob that is to be created."""

    apiVersion: str
    kind: str
    metadata: models.ObjectMeta
    spec: Spec
