"""A workflow of one step, compiled by kfp, and an executor that really runs its command."""

import json
import subprocess
import sys
import tempfile
import time
import warnings

from pipelines_server.cluster import Node, Result

COMPONENT = """
name: Evaluator
inputs: [{name: rmse}, {name: at_most}]
outputs: [{name: mlpipeline_metrics}]
implementation:
  container:
    image: python:3.10
    command:
    - python3
    - -c
    - |
      import json, os, sys
      rmse, at_most, path = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
      os.makedirs(os.path.dirname(path), exist_ok=True)
      metrics = {"rmse": rmse, "blessed": float(rmse <= at_most)}
      rows = [{"name": n, "numberValue": v, "format": "RAW"} for n, v in metrics.items()]
      with open(path, "w") as file:
          json.dump({"metrics": rows}, file)
    - {inputValue: rmse}
    - {inputValue: at_most}
    - {outputPath: mlpipeline_metrics}
"""


def compile_to(path):
    """Compiles the workflow with Kubeflow's compiler and writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kfp

        evaluator = kfp.components.load_component_from_text(COMPONENT)

        @kfp.dsl.pipeline(name="houses")
        def houses(rmse="100000", at_most="115000"):
            evaluator(rmse, at_most)

        kfp.compiler.Compiler().compile(houses, str(path))
    return path


def execute(text, parameters):
    """Runs each step's command in a process and reads the metrics that it wrote."""
    spec = json.loads(text)["spec"]
    steps = [part for part in spec["templates"] if "container" in part]
    nodes, metrics = [], dict[str, float]()
    for step in steps:
        with tempfile.TemporaryDirectory() as folder:
            node, reported = _run(step, parameters, folder)
        nodes.append(node)
        metrics |= reported
        if node.phase != "Succeeded":
            return Result(phase="Failed", nodes=nodes, metrics=metrics)
    return Result(nodes=nodes, metrics=metrics)


def _run(step, parameters, folder):
    container = step["container"]
    command = [*container.get("command", ()), *container.get("args", ())]
    for name, value in parameters.items():
        command = [part.replace(f"{{{{inputs.parameters.{name}}}}}", value) for part in command]
    paths = {}
    for artifact in step.get("outputs", {}).get("artifacts", ()):
        paths[artifact["name"]] = f"{folder}/{artifact['name']}/data"
        command = [part.replace(artifact["path"], paths[artifact["name"]]) for part in command]
    command = [sys.executable if part == "python3" else part for part in command]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - started
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1]
        message = f"Error (exit code {done.returncode}): {last}"
        return Node(step["name"], "Failed", message, seconds), {}
    with open(paths["mlpipeline-metrics"]) as file:
        rows = json.load(file)["metrics"]
    return Node(step["name"], seconds=seconds), {row["name"]: row["numberValue"] for row in rows}
