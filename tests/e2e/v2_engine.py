"""An engine that runs a V2 spec as open-source Kubeflow Pipelines does, without a cluster.

It imitates the driver (`backend/src/v2/driver`), the launcher (`component/launcher_v2.go`) and the
metadata (`metadata/converter.go`), with a directory as object store: a step sees only the files of
its inputs, in a directory of its own, and only the files of its outputs are kept. Input artifacts
have no type, empty directories are lost, and features that the engine lacks are refused.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import uuid
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.e2e.conftest import REPOSITORY

CONTAINER = pathlib.Path(__file__).with_name("v2_container.py")
SCHEME = "minio://"
TYPES: dict[str, Any] = {
    "STRING": str,
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
}


@dataclasses.dataclass
class Run:
    """The result of a run: outputs and logs by task, and the tasks taken from the cache."""

    outputs: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    logs: dict[str, str] = dataclasses.field(default_factory=dict)
    cached: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Engine:
    """An installation with its object store, its cache and the number of recorded artifacts.

    `hooks` tells whether it runs `lifecycle` hooks, as Vertex AI does.
    """

    folder: pathlib.Path
    hooks: bool = False
    cache: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    artifacts: int = 0

    def file(self, address: str) -> pathlib.Path:
        """Returns the path of an artifact in the object store."""
        return self.folder / "store" / address.removeprefix(SCHEME)

    def run(self, spec: dict, values: dict[str, Any], only: set[str] | None = None) -> Run:
        """Runs all tasks, or those in `only`, in the order of their dependencies."""
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        assert spec["schemaVersion"] == "2.1.0"
        parameters = root_parameters(spec, values)
        tasks, run = spec["root"]["dag"]["tasks"], Run()
        while waiting := [name for name in tasks if name not in run.outputs]:
            ready = [name for name in waiting if needs(tasks[name]) <= run.outputs.keys()]
            assert ready, f"circular dependencies: {waiting}"
            wanted = [name for name in ready if only is None or name in only]
            if not wanted:
                break
            for name in wanted:
                self.run_task(spec, name, parameters, run)
        return run

    def run_task(self, spec: dict, name: str, parameters: dict[str, Any], run: Run) -> None:
        task = spec["root"]["dag"]["tasks"][name]
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        assert list(executor) == ["container"], "non-container executor not implemented"
        container = executor["container"]
        inputs = {
            "parameterValues": task_parameters(task, component, parameters),
            "artifacts": {
                key: {"artifacts": [producer_output(source["taskOutputArtifact"], run)]}
                for key, source in task.get("inputs", {}).get("artifacts", {}).items()
            },
        }
        work = self.folder / "work" / f"{name}-{uuid.uuid4()}"
        outputs = self.provide(name, component, work)
        executor_input = {"inputs": inputs, "outputs": outputs}
        log = ""
        if self.hooks and "lifecycle" in container:
            hook = container["lifecycle"]["preCacheCheck"]
            log += execute(hook["command"], hook["args"], container, executor_input, work)
            take_over(executor_input)
        key = fingerprint(inputs, outputs, container)
        if task.get("cachingOptions", {}).get("enableCache") and key in self.cache:
            run.outputs[name] = self.cache[key]
            run.cached.append(name)
            return
        for address in addresses(inputs):
            copy_files(self.file(address), mounted(work, address))
        for address in addresses(outputs):
            mounted(work, address).parent.mkdir(parents=True, exist_ok=True)
        log += execute(container["command"], container["args"], container, executor_input, work)
        run.logs[name] = log
        run.outputs[name] = self.cache[key] = self.record(outputs, work)
        shutil.rmtree(work)

    def provide(self, task: str, component: dict, work: pathlib.Path) -> dict[str, Any]:
        definitions = component.get("outputDefinitions", {}).get("artifacts", {})
        place = f"{SCHEME}mlpipeline/v2/artifacts/{task}/{uuid.uuid4()}"
        return {
            "artifacts": {
                key: {
                    "artifacts": [
                        {
                            "uri": f"{place}/{key}",
                            "type": definition["artifactType"],
                            "metadata": definition.get("metadata", {}),
                        }
                    ]
                }
                for key, definition in definitions.items()
            },
            "outputFile": str(work / "kfp_outputs" / "output_metadata.json"),
        }

    def record(self, outputs: dict[str, Any], work: pathlib.Path) -> dict[str, Any]:
        """Uploads the files that a task wrote; returns its artifacts as later tasks see them."""
        text = pathlib.Path(outputs["outputFile"]).read_text()
        parsed = json_format.Parse(text, pipeline_spec_pb2.ExecutorOutput())
        written = json_format.MessageToDict(parsed).get("artifacts", {})
        recorded = {}
        for key, artifacts in outputs["artifacts"].items():
            (artifact,) = artifacts["artifacts"]
            (changes,) = written.get(key, {"artifacts": [{}]})["artifacts"]
            address = changes.get("uri") or artifact["uri"]
            assert address.startswith(SCHEME), f"{address}: unsupported storage scheme"
            copy_files(mounted(work, address), self.file(address))
            self.artifacts += 1
            metadata = {**artifact["metadata"], **changes.get("metadata", {})}
            recorded[key] = {
                "name": str(self.artifacts),
                "uri": address,
                "metadata": {
                    "display_name": key,
                    "store_session_info": "{}",
                    **{name: as_stored(value) for name, value in metadata.items()},
                },
            }
        return recorded


def root_parameters(spec: dict, values: dict[str, Any]) -> dict[str, Any]:
    definitions = spec["root"]["inputDefinitions"]["parameters"]
    assert values.keys() <= definitions.keys()
    found = {}
    for name, definition in definitions.items():
        assert name in values or "defaultValue" in definition, f"{name}: neither value nor default"
        found[name] = values.get(name, definition.get("defaultValue"))
        assert isinstance(found[name], TYPES[definition["parameterType"]])
    return found


def task_parameters(task: dict, component: dict, parameters: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, source in task.get("inputs", {}).get("parameters", {}).items():
        if "componentInputParameter" in source:
            found[name] = parameters[source["componentInputParameter"]]
        else:
            assert list(source) == ["runtimeValue"], f"{source} not implemented"
            assert list(source["runtimeValue"]) == ["constant"], f"{source} not implemented"
            found[name] = source["runtimeValue"]["constant"]
    for name, definition in component["inputDefinitions"].get("parameters", {}).items():
        assert isinstance(found[name], TYPES[definition["parameterType"]]), name
    return found


def needs(task: dict) -> set[str]:
    sources = task.get("inputs", {}).get("artifacts", {}).values()
    producers = {source["taskOutputArtifact"]["producerTask"] for source in sources}
    return producers | set(task.get("dependentTasks", []))


def producer_output(source: dict[str, str], run: Run) -> dict[str, Any]:
    return run.outputs[source["producerTask"]][source["outputArtifactKey"]]


def fingerprint(inputs: dict, outputs: dict, container: dict) -> str:
    """Returns the cache key: parameters, names of artifacts and the container (`cache.go`)."""
    artifacts = inputs["artifacts"].items()
    names = {key: [one["name"] for one in found["artifacts"]] for key, found in artifacts}
    command = [container["image"], container["command"], container["args"]]
    parts = [inputs["parameterValues"], names, sorted(outputs["artifacts"]), command]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def take_over(executor_input: dict[str, Any]) -> None:
    """Adds what a hook wrote to the executor's input, from which the cache key is made."""
    inputs, outputs = executor_input["inputs"], executor_input["outputs"]
    written = json.loads(pathlib.Path(outputs["outputFile"]).read_text())
    inputs["parameterValues"].update(written["parameterValues"])
    for key, artifacts in written["artifacts"].items():
        metadata = artifacts["artifacts"][0]["metadata"]
        outputs["artifacts"][key]["artifacts"][0]["metadata"].update(metadata)


def addresses(side: dict[str, Any]) -> list[str]:
    return [one["uri"] for found in side["artifacts"].values() for one in found["artifacts"]]


def mounted(work: pathlib.Path, address: str) -> pathlib.Path:
    return work / "minio" / address.removeprefix(SCHEME)


def copy_files(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies the files in a directory; like an object store, leaves out empty directories."""
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)


def as_stored(value: Any) -> Any:
    """Converts a value of an artifact's metadata to what the metadata store returns."""
    assert value is not None, "unsupported value type: null"
    if isinstance(value, (list, dict)):
        return {"list" if isinstance(value, list) else "struct": value}
    return float(value) if isinstance(value, (int, float)) else value


def execute(
    command: list[str], args: list[str], container: dict, given: dict, work: pathlib.Path
) -> str:
    text = json.dumps(given)
    filled = [arg.replace("{{$}}", text) for arg in [*command, *args]]
    assert not any("{{$" in arg for arg in filled)
    assert filled[0] == "python"
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    # As in the image, the code is in the working directory, which is on the path.
    done = subprocess.run(
        [sys.executable, str(CONTAINER), str(work), *filled[1:]],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout + done.stderr
