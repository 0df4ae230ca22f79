"""The container image, built for real on a substitute base image of Debian packages."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
BASE, IMAGE = "localhost/test-base:3.10", "localhost/test-image:1"

NEEDED = ("buildah", "mmdebstrap")
MISSING = [tool for tool in NEEDED if not shutil.which(tool)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(MISSING), reason=f"apt-get install {' '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount what it built"),
]

CONTENT = """
import importlib.metadata, json, os, pathlib, sys
print(json.dumps({
    "uid": os.getuid(),
    "prefix": sys.prefix,
    "directory": os.getcwd(),
    "code": sorted(path.name for path in pathlib.Path().iterdir()),
    "writable": [at for at in ("/", "/app", "/opt/venv", "/tmp") if os.access(at, os.W_OK)],
    "packages": sorted(
        f"{found.metadata['Name']}=={found.version}" for found in importlib.metadata.distributions()
    ),
}))
"""
# Bytecode is used if it is hash-based (bit 0 of its flags) or has its source's modification time.
COMPILED_ANEW = """
import os, struct, sys
import models.training.trainer, components.evaluator, pipeline.graph.pipeline
import pipeline.kubeflow.steps.step
for name, module in list(sys.modules.items()):
    spec = getattr(module, "__spec__", None)
    if not spec or not spec.cached or not spec.origin.endswith(".py"):
        continue
    try:
        with open(spec.cached, "rb") as file:
            flags, written = struct.unpack("<4x2I", file.read(12))
    except FileNotFoundError:
        flags = written = 0
    if not flags & 1 and written != int(os.stat(spec.origin).st_mtime):
        print("anew:", name)
"""


def call(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def container():
    """Yields a function that runs a command in the image, which is built once for this file."""
    call(str(REPOSITORY / "tests/e2e/stand_in_base.sh"), BASE, sys.executable)
    # Not --layers, which would leave gigabytes behind.
    options = ["--layers=false", "--isolation", "chroot", "--build-arg", f"BASE={BASE}"]
    build = str(REPOSITORY / "pipeline/kubeflow/build_image.sh")
    try:
        call(
            "env", "ENGINE=buildah", build, IMAGE, *options, "--secret", f"id=ca,src={CERTIFICATES}"
        )
        name = call("buildah", "from", "--pull-never", IMAGE).strip()
        yield lambda *argv: call("buildah", "run", "--isolation", "chroot", name, "--", *argv)
        call("buildah", "rm", name)
        call("buildah", "rmi", IMAGE)
    finally:
        call("buildah", "rmi", BASE)


def normal(requirement):
    name, version = requirement.split("==")
    return re.sub(r"[-_.]+", "-", name).lower(), version


def test_an_unprivileged_user_has_the_code_and_the_locked_packages(container):
    found = json.loads(container("python", "-c", CONTENT))
    lock = (REPOSITORY / "requirements/run.lock").read_text()
    locked = re.findall(r"^([\w.-]+==[^ ]+) ", lock, re.MULTILINE)
    assert sorted(map(normal, found.pop("packages"))) == sorted(map(normal, locked))
    code = ["components", "data", "kubeflow_runner.py", "local_runner.py", "models", "pipeline"]
    assert [name for name in found.pop("code") if name != "__pycache__"] == code
    assert found == {
        "uid": 1000,
        "prefix": "/opt/venv",
        "directory": "/app",
        "writable": ["/tmp"],
    }


def test_all_modules_are_imported_from_bytecode(container):
    lines = container("python", "-c", COMPILED_ANEW).splitlines()
    assert [line for line in lines if line.startswith("anew:")] == []


def test_the_command_lines_start(container):
    assert "predict" in container("python", "local_runner.py", "--help")
    assert "compile" in container("python", "kubeflow_runner.py", "--help")


@pytest.mark.parametrize("tool", ["g++", "git", "uv", "pytest"])
def test_the_image_has_no_build_tools(container, tool):
    assert container("sh", "-c", f"command -v {tool} || echo none") == "none\n"
