"""Reads a step's arguments as TFX's entry point does."""

import argparse
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from tfx.orchestration.kubeflow.proto import kubeflow_pb2
from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

from pipeline.kubeflow.container import TFJOB
from pipeline.kubeflow.rules import places

# Not used by name: the messages in a deployment config are found once they are imported.
_ = executable_spec_pb2
_RUNTIME_PARAMETER = re.compile(r"(?P<name>[^=]+)=(?P<kind>INT|DOUBLE|STRING):(?P<value>.*)", re.S)


class Unreadable(Exception):
    """The finding about arguments that cannot be read."""


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step's arguments say.

    Attributes:
        place: of the arguments.
        node_id: the node that it runs.
        root: the pipeline's root.
        metadata_variables: which the address of the metadata store is read from.
        ui_path: where it leaves what is shown of it.
        passed: type and value by runtime parameter, as passed.
        used: type by runtime parameter, as the IR uses them.
        ir: the IR of the pipeline, with this one node.
        tfjob: the TFJob of the step's tasks, if there is one, as JSON.
    """

    place: str
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
        """The nodes right before it."""
        return frozenset(self.node.get("upstreamNodes") or ())


def read(place: str, args: Sequence[str]) -> Step:
    """Reads the arguments of one step.

    Args:
        place: of the arguments.
        args: the arguments.

    Raises:
        Unreadable: TFX's entry point would not take them.
    """
    parser = _Parser(place)
    for flag in ("pipeline_root", "kubeflow_metadata_config", "tfx_ir", "node_id"):
        parser.add_argument(f"--{flag}", required=True)
    parser.add_argument("--metadata_ui_path", required=True)
    parser.add_argument("--runtime_parameter", action="append", default=[])
    parser.add_argument(TFJOB)
    options = parser.parse_args(list(args))
    metadata = _message(
        f"{place} --kubeflow_metadata_config",
        options.kubeflow_metadata_config,
        kubeflow_pb2.KubeflowMetadataConfig(),
    )
    where = f"{place} --tfx_ir"
    ir = _message(where, options.tfx_ir, pipeline_pb2.Pipeline())
    nodes = [
        node.get("pipelineNode", {}).get("nodeInfo", {}).get("id") for node in ir.get("nodes", [])
    ]
    if nodes != [options.node_id]:
        found = ", ".join(map(str, nodes)) or "none"
        raise Unreadable(f"{where}: found nodes {found}, expected {options.node_id} (--node_id)")
    return Step(
        place,
        options.node_id,
        options.pipeline_root,
        tuple(places.values(metadata, "environmentVariable")),
        options.metadata_ui_path,
        _passed(f"{place} --runtime_parameter", options.runtime_parameter),
        {
            item.get("name", ""): item.get("type", "")
            for item in places.values(ir, "runtimeParameter")
        },
        ir,
        options.tfjob,
    )


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would end the process; flags are written in full."""

    def __init__(self, place: str):
        super().__init__(add_help=False, allow_abbrev=False)
        self._place = place

    def error(self, message: str):
        raise Unreadable(f"{self._place}: {message}")


def _message(place: str, text: str, message: Message) -> dict[str, Any]:
    try:
        json_format.Parse(text, message)
    except (json_format.ParseError, TypeError) as error:  # TypeError: JSON, but no object
        kind = message.DESCRIPTOR.full_name
        reason = " ".join(str(error).split())
        raise Unreadable(f"{place}: not a {kind} in JSON: {reason}") from None
    return json_format.MessageToDict(message)


def _passed(place: str, parameters: Sequence[str]) -> dict[str, tuple[str, str]]:
    passed: dict[str, tuple[str, str]] = {}
    for parameter in parameters:
        found = _RUNTIME_PARAMETER.fullmatch(parameter)
        if not found:
            raise Unreadable(f"{place}: found {parameter!r}, expected NAME=INT|DOUBLE|STRING:VALUE")
        if found["name"] in passed:
            raise Unreadable(f"{place}: {found['name']} stands twice, expected once")
        passed[found["name"]] = (found["kind"], found["value"])
    return passed


def variable_of(name: str) -> str:
    """Argo's variable for a parameter of a template."""
    return f"{{{{inputs.parameters.{name}}}}}"
