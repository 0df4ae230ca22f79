import io

import pytest
from pipelines_server import evaluator
from rich.console import Console


@pytest.fixture(scope="session")
def workflow(tmp_path_factory):
    """Compiles a workflow with one step."""
    return evaluator.compile_to(tmp_path_factory.mktemp("compiled") / "workflow.yaml")


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)
