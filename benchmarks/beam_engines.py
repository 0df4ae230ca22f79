"""Engines of Beam on this machine, for `make test-engines` and `benchmarks/engines.py`.

What an engine needs beside Beam is obtained once, by the ordinary clients of Go, Python and Java,
into the folder `.engines/`.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

import psutil

REPOSITORY = pathlib.Path(__file__).parents[1]
FOLDER = REPOSITORY / ".engines"
BEAM = metadata.version("apache-beam")
FLINK, SPARK = "1.20.0", "3.5.3"
_PATIENCE = 120.0
"""Seconds that a process has to open its port."""


class Missing(Exception):
    """An engine that cannot be started here; the message is one line that says what is missing."""


@dataclasses.dataclass(frozen=True)
class Started:
    """A running engine.

    Attributes:
        section: the section `beam` of a configuration that uses it.
        pool: the worker pool, whose children are the workers.
        processes: all of its processes.
    """

    section: Mapping[str, Any]
    pool: subprocess.Popen
    processes: tuple[subprocess.Popen, ...]

    def workers(self) -> list[psutil.Process]:
        """Returns the workers that are connected to the engine."""
        return [
            child
            for child in psutil.Process(self.pool.pid).children(recursive=True)
            if child.is_running() and _is_connected(child)
        ]


@contextlib.contextmanager
def prism(logs: pathlib.Path) -> Iterator[Started]:
    """Runs Prism and a worker pool; their output goes to files in `logs`."""
    program = FOLDER / "prism"
    if not program.exists():
        package = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM}"
        _obtain("go", "install", package, environment={"GOBIN": str(FOLDER)})
    with _processes(logs) as start:
        port = free_port()
        job_server = start("prism", [program, f"--job_port={port}", "--serve_http=false"], port)
        pool, address = _worker_pool(start)
        section = {"engine": "prism", "master": f"localhost:{port}", "worker_pool": address}
        yield Started(section, pool, (job_server, pool))


@contextlib.contextmanager
def flink(logs: pathlib.Path) -> Iterator[Started]:
    """Runs a session cluster of Flink with two task managers, Beam's job server and a pool."""
    jar = _job_server_jar(f"flink-{FLINK.rpartition('.')[0]}")
    home = _from_pypi(f"apache-flink-libraries=={FLINK}") / "pyflink"
    with _processes(logs) as start:
        rest, rpc, jobs = free_port(), free_port(), free_port()
        (logs / "config.yaml").write_text(
            f"rest: {{port: {rest}}}\n"
            f"jobmanager: {{rpc: {{address: localhost, port: {rpc}}}, "
            "memory: {process: {size: 1600m}}}\n"
            "taskmanager: {numberOfTaskSlots: 2, memory: {process: {size: 1728m}}}\n"
        )
        variables = {"FLINK_CONF_DIR": str(logs), "FLINK_HOME": str(home)}
        manager = [home / "bin" / "jobmanager.sh", "start-foreground"]
        cluster = [start("jobmanager", manager, rest, variables)]
        for index in range(2):
            task_manager = [home / "bin" / "taskmanager.sh", "start-foreground"]
            cluster.append(start(f"taskmanager-{index}", task_manager, None, variables))
        driver = "org.apache.beam.runners.flink.FlinkJobServerDriver"
        command = _job_server(jar, driver, jobs, f"--flink-master=localhost:{rest}")
        cluster.append(start("job_server", command, jobs))
        pool, address = _worker_pool(start)
        section = {"engine": "flink", "parallelism": 2, "worker_pool": address}
        section["args"] = [f"--job_endpoint=localhost:{jobs}"]
        yield Started(section, pool, (*cluster, pool))


@contextlib.contextmanager
def spark(logs: pathlib.Path) -> Iterator[Started]:
    """Runs a standalone master of Spark with two workers, Beam's job server and a worker pool."""
    jar = _job_server_jar("spark-3")
    home = _from_pypi(f"pyspark=={SPARK}") / "pyspark"
    with _processes(logs) as start:
        port, jobs = free_port(), free_port()
        deploy = [home / "bin" / "spark-class", "org.apache.spark.deploy"]
        master = [deploy[0], f"{deploy[1]}.master.Master", "--host", "localhost", "--port", port]
        cluster = [start("master", [*master, "--webui-port", "0"], port)]
        for index in range(2):
            worker = [deploy[0], f"{deploy[1]}.worker.Worker", "--cores", "1", "--memory", "2g"]
            worker += ["--webui-port", "0", f"spark://localhost:{port}"]
            cluster.append(start(f"worker-{index}", worker, None))
        driver = "org.apache.beam.runners.spark.SparkJobServerDriver"
        command = _job_server(jar, driver, jobs, f"--spark-master-url=spark://localhost:{port}")
        cluster.append(start("job_server", command, jobs))
        pool, address = _worker_pool(start)
        section = {"engine": "spark", "worker_pool": address}
        yield Started(
            {**section, "args": [f"--job_endpoint=localhost:{jobs}"]}, pool, (*cluster, pool)
        )


ENGINES: Mapping[str, Callable[[pathlib.Path], contextlib.AbstractContextManager[Started]]] = {
    "prism": prism,
    "flink": flink,
    "spark": spark,
}


def _is_connected(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any(one.status == "ESTABLISHED" for one in process.net_connections("tcp"))
    return False


def free_port() -> int:
    """Returns a port at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


Start = Callable[..., subprocess.Popen]


@contextlib.contextmanager
def _processes(logs: pathlib.Path) -> Iterator[Start]:
    """Context manager: yields a function that starts processes, and ends them all."""
    with contextlib.ExitStack() as stack:

        def start(
            name: str,
            command: list[Any],
            port: int | None,
            variables: Mapping[str, str] | None = None,
        ) -> subprocess.Popen:
            with open(logs / f"{name}.log", "w") as log:
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **(variables or {})},
                )
            stack.callback(_end, process)
            if port:
                _wait_for_port(name, process, port, logs)
            return process

        yield start


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_port(name: str, process: subprocess.Popen, port: int, logs: pathlib.Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(0.1)
            raise RuntimeError(f"{name} ended with exit code {code}; see {logs / name}.log")
    raise RuntimeError(f"{name} has not opened port {port} in {_PATIENCE:.0f} s")


def _worker_pool(start: Start) -> tuple[subprocess.Popen, str]:
    port = free_port()
    command = [sys.executable, "-m", "pipeline.beam.worker_pool", f"--port={port}"]
    variables = {"PYTHONPATH": str(REPOSITORY)}
    return start("worker_pool", command, port, variables), f"localhost:{port}"


def _job_server(jar: pathlib.Path, driver: str, port: int, master: str) -> list[Any]:
    ports = [f"--job-port={port}", "--artifact-port=0", "--expansion-port=0"]
    opens = "--add-opens=java.base/{}=ALL-UNNAMED"  # Java 17 closes these to the engines' libraries
    packages = ("java.lang", "java.nio", "java.util", "sun.nio.ch")
    return ["java", *map(opens.format, packages), "-cp", jar, driver, *ports, master]


def _job_server_jar(runner: str) -> pathlib.Path:
    """Returns Beam's job server for an engine, from Maven Central."""
    name = f"beam-runners-{runner}-job-server"
    jar = FOLDER / f"{name}-{BEAM}.jar"
    if not jar.exists():
        artifact = f"-Dartifact=org.apache.beam:{name}:{BEAM}"
        _obtain("java", "-version")
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        _obtain("mvn", "--batch-mode", goal, artifact, f"-DoutputDirectory={FOLDER}")
    return jar


def _from_pypi(requirement: str) -> pathlib.Path:
    """Returns the folder of a package without its dependencies."""
    folder = FOLDER / requirement.replace("==", "-")
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        mine = REPOSITORY / ".venv-tools" / "bin" / "uv"
        uv = str(mine) if mine.exists() else "uv"
        target = ("--python", sys.executable, "--target", str(partial))
        _obtain(uv, "pip", "install", "--no-deps", *target, requirement)
        partial.rename(folder)
    return folder


def _obtain(program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Runs a client; raises `Missing` with its own message if it fails or does not exist."""
    FOLDER.mkdir(exist_ok=True)
    if not shutil.which(program):
        raise Missing(f"{program}: not found on PATH")
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        said = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "failed")
        raise Missing(f"{program}: {said}")
