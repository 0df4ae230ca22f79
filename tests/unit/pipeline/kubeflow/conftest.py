import io

import pytest
from rich.console import Console

from tests.kubeflow import evaluator


@pytest.fixture(scope="session")
def workflow(tmp_path_factory):
    """A workflow of one step, as compiled."""
    return evaluator.compile_to(tmp_path_factory.mktemp("compiled") / "workflow.yaml")


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)
