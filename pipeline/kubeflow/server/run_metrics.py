"""Metrics that the steps of a run have written, read from their artifacts.

Kubeflow's persistence agent reports them to the server in 1.x and up to 2.1. From 2.2 to 2.14 it
asks for the artifacts by the wrong name, and from 2.15 to 2.17 at the wrong address.
"""

import base64
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.kubeflow.output_names import METRICS


def writers(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Returns the ids of the nodes that have written metrics, by Argo's status of a run."""
    return [
        node["id"]
        for node in nodes
        for artifact in (node.get("outputs") or {}).get("artifacts") or ()
        if artifact["name"] == METRICS
    ]


def read(data: str) -> dict[str, float]:
    """Returns the metrics in an artifact: an archive with one file, in Base64.

    Raises:
        ValueError: the artifact is something else.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(data))) as archive:
            file = next(filter(None, map(archive.extractfile, archive)))
            rows = json.load(file)["metrics"]
        return {row["name"]: float(row["numberValue"]) for row in rows}
    except (tarfile.TarError, StopIteration, KeyError, TypeError) as error:
        raise ValueError(f"no archive with a file of metrics: {error}") from None
