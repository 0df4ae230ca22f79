"""Tests of the `kubeflow:` section: what is refused, with which messages."""

import pytest

from models.errors import UserError
from pipeline.config import config_file

TEXT = """
task: regression
label: price
data: houses.csv
gates: {mae: {at_most: 1}}
kubeflow:
  image: registry.example.com/houses:1.0
  workspace: gs://bucket/houses
"""


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "pipeline.yaml"
    path.write_text(TEXT)
    return lambda *settings: config_file.load(path, settings).kubeflow


def test_two_lines_are_enough(load):
    kubeflow = load()
    assert (kubeflow.image, kubeflow.workspace) == (
        "registry.example.com/houses:1.0",
        "gs://bucket/houses",
    )
    assert kubeflow.retries.limit == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("image=houses", "kubeflow.image: expected an image with its tag or digest"),
        ("image=", "kubeflow.image: "),
        ("imag=x:1", "kubeflow.imag: unknown key; did you mean image?"),
        ("workspace=/tmp/x", "neither in an object store (gs://) nor on one of the volumes"),
        (
            "data='/mnt/{{a}}'",
            "found /mnt/{{a}}, in which Argo reads {{ as the start of a var",
        ),
        ("workspace='/mnt/a [v1]'", "found /mnt/a [v1], in which [ starts a pattern; rename the"),
        ("push='/mnt/a?'", "found /mnt/a?, in which ? starts a pattern; rename the folder"),
        ("workspace=relative", "neither in an object store"),
        ("data=/data", "kubeflow.data: /data is neither"),
        ("volumes={Claim_1: /mnt}", "kubeflow.volumes.Claim_1: expected the name of"),
        ("volumes={claim: mnt}", "kubeflow.volumes.claim: expected an absolute path"),
        ("volumes={claim: /}", "kubeflow.volumes.claim: expected an absolute path"),
        ("volumes={claim: /app/}", "kubeflow.volumes.claim: expected an absolute path"),
        ("volumes=[claim]", "kubeflow.volumes: expected keys and values"),
        ("resources={Trainer: {cpu: 2 cores}}", "kubeflow.resources.Trainer.cpu: expected cores"),
        ("resources={Trainer: {memory: 8GB}}", "kubeflow.resources.Trainer.memory: expected"),
        ("resources={Trainer: {memory: 1.5Gi}}", "kubeflow.resources.Trainer.memory: expected"),
        ("retries={limit: 1, factor: 1.5}", "kubeflow.retries.factor: expected a whole number"),
        ("push=/serving", "kubeflow.push: /serving is neither"),
        ("resources={Trainer: {gpu: 0.5}}", "kubeflow.resources.Trainer.gpu: expected a whole"),
        ("resources={Trainer: {ram: 8Gi}}", "kubeflow.resources.Trainer.ram: unknown key"),
        ("retries=-1", "kubeflow.retries.limit: expected a whole number"),
        ("retries={limit: 1, policy: Never}", "kubeflow.retries.policy: unknown value 'Never'"),
        ("environment={1A: x}", "kubeflow.environment.1A: expected letters"),
        ("environment={A: 1}", "kubeflow.environment.A: expected text, found 1; put it in quotes"),
        ("environment={WORKFLOW_ID: x}", "the pipeline sets this variable itself; remove it"),
        ("secrets={A: password}", "kubeflow.secrets.A: expected the secret's name and a key"),
        ("labels={team: 'a b'}", "kubeflow.labels.team: expected at most 63 letters"),
        ("labels={'-team': a}", "kubeflow.labels.-team: expected a label's name"),
        ("node_selector={pool: [a]}", "kubeflow.node_selector.pool: expected at most 63"),
        ("service_account=Runner", "kubeflow.service_account: expected the name of"),
        ("metadata={port: 8080}", "kubeflow.metadata.host: missing"),
        ("namespace=a b", "kubeflow.namespace: expected the name of"),
        ("host=localhost:8080", "kubeflow.host: found localhost:8080, expected http://... or"),
        ("workspace=gs://", "kubeflow.workspace: found gs://, expected gs://bucket/folder"),
    ],
)
def test_a_wrong_value_is_one_line(load, setting, message):
    with pytest.raises(UserError) as error:
        load(f"kubeflow.{setting}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_variable_cannot_be_both_plain_and_secret(load):
    with pytest.raises(UserError, match="kubeflow.secrets.A: is also in environment"):
        load("kubeflow.environment={A: x}", "kubeflow.secrets={A: db/key}")


@pytest.mark.parametrize("path", ["/mnt/p", "/mnt/p/", "/mnt/p/houses"])
def test_a_workspace_may_be_on_a_volume(load, path):
    assert load(f"kubeflow.workspace={path}", "kubeflow.volumes={claim: /mnt/p/}")


def test_a_sibling_of_a_volume_is_not_on_it(load):
    with pytest.raises(UserError, match="/mnt/pipes is neither"):
        load("kubeflow.workspace=/mnt/pipes", "kubeflow.volumes={claim: /mnt/pip}")
