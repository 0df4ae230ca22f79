"""Tests that the image contains only the code; tests/e2e/test_image_build.py builds it."""

import pathlib
import re
import shutil
import subprocess

import pytest
from docker.utils.build import exclude_paths

from pipeline.config.kubeflow_config import WORKING_DIRECTORY
from pipeline.kubeflow.compile import compiler
from pipeline.kubeflow.local_argo import isolation

ROOT = pathlib.Path(__file__).parents[5]
FOLDER = "pipeline/kubeflow"
DOCKERFILE = (ROOT / FOLDER / "Dockerfile").read_text()
LOCKS = {"requirements/run.lock", "requirements/uv.txt"}
HOW_IT_IS_MADE = {f"{FOLDER}/{name}" for name in ("Dockerfile", "Dockerfile.dockerignore")} | {
    f"{FOLDER}/build_image.sh"
}


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def code():
    own = {name for name in tracked() if name.split("/")[0] in isolation._CODE}
    return own - HOW_IT_IS_MADE


def copied():
    """Returns what the Dockerfile copies from the project's folder."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.fixture
def context(tmp_path):
    """Returns a function that selects the files that a builder sees."""
    ignore = (ROOT / FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    patterns = [line for line in ignore if line and not line.startswith("#")]

    def of(names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        seen = exclude_paths(str(tmp_path), patterns, dockerfile="none")
        return {name for name in seen if (tmp_path / name).is_file()}

    return of


def test_the_build_context_has_the_code_and_the_locks(context):
    assert context(tracked()) == code() | LOCKS


@pytest.mark.parametrize(
    "name",
    [
        ".git/config",
        ".venv/bin/python",
        "workspace/king_county/metadata.sqlite",
        "data/mine/workspace/metadata.sqlite",
        "data/mine/.ipynb_checkpoints/notes.ipynb",
        "models/__pycache__/mlp.cpython-310.pyc",
        "tests/models/test_mlp.py",
        "tests/my_runner.py",
        "requirements/dev.lock",
    ],
)
def test_other_files_stay_out_of_the_build_context(context, name):
    assert context([name, "models/zoo/mlp.py"]) == {"models/zoo/mlp.py"}


def test_everything_copied_is_in_the_build_context():
    taken = {
        str(file.relative_to(ROOT))
        for source in copied()
        for path in ROOT.glob(source)
        for file in ([path] if path.is_file() else path.rglob("*"))
    }
    assert code() | LOCKS <= taken
    for source in copied():
        assert list(ROOT.glob(source)), source
        assert source in LOCKS or any(pathlib.PurePath(n).match(source) for n in isolation._CODE)


def test_workflow_and_image_agree():
    assert re.findall(r"^WORKDIR (.+)$", DOCKERFILE, re.MULTILINE)[-1] == WORKING_DIRECTORY
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == [
        f"{compiler._USER}:{compiler._USER}"
    ]


def build(tmp_path, **environment):
    """Runs the build where only basic commands exist and no engine."""
    for name in ("sh", "dirname", "sed"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        [str(ROOT / FOLDER / "build_image.sh"), "houses:1"],
        env={"PATH": str(tmp_path), **environment},
        capture_output=True,
        text=True,
    )


def test_a_missing_container_engine_is_explained(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "apt-get install podman" in line


@pytest.mark.parametrize("engine", ["lxc", "docker"])
def test_a_broken_container_engine_is_explained(tmp_path, engine):
    done = build(tmp_path, ENGINE=engine)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"ENGINE={engine}" in line
