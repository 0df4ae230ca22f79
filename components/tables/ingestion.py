"""What ingestion leaves beside the examples that it makes, for the steps after it."""

import json
import os
from typing import Any

REPORT_FILE = "ingestion.json"


def report(examples_uri: str) -> dict[str, Any]:
    """Reads what became of a table: `splits`, `quarantined`, `kinds`, `dates`, `notes` and more."""
    from tfx.dsl.io import fileio

    with fileio.open(os.path.join(examples_uri, REPORT_FILE), "r") as file:
        return json.loads(file.read())
