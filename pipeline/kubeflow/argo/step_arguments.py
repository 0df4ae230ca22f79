"""Parsing of a step's arguments, equivalent to TFX's entry point."""

import argparse
import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from tfx.orchestration.kubeflow.proto import kubeflow_pb2
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from pipeline.kubeflow.argo import locations
from pipeline.kubeflow.step_container import TFJOB_FLAG

# Imported so that protobuf can find the types of the messages in a deployment config.
_ = executable_spec_pb2
_RUNTIME_PARAMETER = re.compile(r"(?P<name>[^=]+)=(?P<kind>INT|DOUBLE|STRING):(?P<value>.*)", re.S)


class Unreadable(Exception):
    """The arguments cannot be parsed; the message is the problem that `check` returns."""


@dataclasses.dataclass(frozen=True)
class Step:
    """The parsed arguments of a step.

    Attributes:
        location: the location of the arguments.
        node_id: the node that the step runs.
        root: the pipeline root.
        metadata_variables: the variables with the address of the metadata store.
        ui_path: the file with what Kubeflow Pipelines displays of the step.
        passed: type and value of each runtime parameter that is passed.
        used: type of each runtime parameter that the IR uses.
        ir: the IR of the pipeline, reduced to this node.
        tfjob: the TFJob of the step's tasks as JSON, if there is one.
    """

    location: str
    node_id: str
    root: str
    metadata_variables: tuple[str, ...]
    ui_path: str
    passed: Mapping[str, tuple[str, str]]
    used: Mapping[str, str]
    ir: Mapping[str, Any]
    tfjob: str | None = None

    @property
    def node(self) -> Mapping[str, Any]:
        """The node's IR."""
        return self.ir["nodes"][0]["pipelineNode"]

    @property
    def upstream(self) -> frozenset[str]:
        """The nodes directly before it."""
        return frozenset(self.node.get("upstreamNodes") or ())


def read(location: str, args: Sequence[str]) -> Step:
    """Parses the arguments of one step.

    Args:
        location: the location of the arguments.
        args: the arguments.

    Raises:
        Unreadable: TFX's entry point would not accept the arguments.
    """
    parser = _Parser(location)
    for flag in ("pipeline_root", "kubeflow_metadata_config", "tfx_ir", "node_id"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--metadata_ui_path", required=True)
    parser.add_argument("--runtime_parameter", action="append", default=[])
    parser.add_argument(TFJOB_FLAG)
    options = parser.parse_args(list(args))
    metadata = _message(
        f"{location} --kubeflow_metadata_config",
        options.kubeflow_metadata_config,
        kubeflow_pb2.KubeflowMetadataConfig,
    )
    where = f"{location} --tfx_ir"
    ir = _message(where, options.tfx_ir, pipeline_pb2.Pipeline)
    nodes = [
        node.get("pipelineNode", {}).get("nodeInfo", {}).get("id") for node in ir.get("nodes", [])
    ]
    if nodes != [options.node_id]:
        nodes_text = ", ".join(map(str, nodes)) or "none"
        raise Unreadable(
            f"{where}: found nodes {nodes_text}, expected {options.node_id} (--node_id)"
        )
    return Step(
        location,
        options.node_id,
        options.pipeline_root,
        tuple(locations.values(metadata, "environmentVariable")),
        options.metadata_ui_path,
        _passed(f"{location} --runtime_parameter", options.runtime_parameter),
        {
            item.get("name", ""): item.get("type", "")
            for item in locations.values(ir, "runtimeParameter")
        },
        ir,
        options.tfjob,
    )


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of exiting, and accepts no abbreviated flags."""

    def __init__(self, location: str):
        super().__init__(add_help=False, allow_abbrev=False)
        self._location = location

    def error(self, message: str):
        raise Unreadable(f"{self._location}: {message}")


def _message(location: str, text: str, kind: Callable[[], Message]) -> Mapping[str, Any]:
    try:
        return _parsed(text, kind)
    except (json_format.ParseError, TypeError) as error:  # TypeError: JSON, but not an object
        reason = " ".join(str(error).split())
        name = kind().DESCRIPTOR.full_name
        raise Unreadable(f"{location}: not a {name} in JSON: {reason}") from None


@functools.lru_cache  # all steps have the same metadata configuration
def _parsed(text: str, kind: Callable[[], Message]) -> Mapping[str, Any]:
    return json_format.MessageToDict(json_format.Parse(text, kind()))


def _passed(location: str, parameters: Sequence[str]) -> dict[str, tuple[str, str]]:
    passed: dict[str, tuple[str, str]] = {}
    for parameter in parameters:
        match = _RUNTIME_PARAMETER.fullmatch(parameter)
        if not match:
            raise Unreadable(
                f"{location}: found {parameter!r}, expected NAME=INT|DOUBLE|STRING:VALUE"
            )
        if match["name"] in passed:
            raise Unreadable(f"{location}: {match['name']} occurs twice, expected once")
        passed[match["name"]] = (match["kind"], match["value"])
    return passed


def variable_of(name: str) -> str:
    """Returns Argo's variable for an input parameter of a template."""
    return f"{{{{inputs.parameters.{name}}}}}"
