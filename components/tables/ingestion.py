"""The report that ingestion leaves beside the examples for later steps."""

import json
import os
from typing import Any

REPORT_FILE = "ingestion.json"


def report(examples_uri: str) -> dict[str, Any]:
    """Reads the ingestion report: `splits`, `quarantined`, `kinds`, `dates`, `notes` and more."""
    from tfx.dsl.io import fileio

    with fileio.open(os.path.join(examples_uri, REPORT_FILE), "r") as file:
        return json.loads(file.read())
