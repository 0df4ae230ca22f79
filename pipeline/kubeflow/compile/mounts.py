"""The directories in which a V2 step finds the contents of object stores.

They are the same as in Kubeflow Pipelines' own SDK (`Artifact.path`). Vertex AI mounts every bucket
below `/gcs`. The launcher of open-source Kubeflow Pipelines
(`backend/src/v2/component/launcher_v2.go`, `LocalPathForURI`) copies a step's inputs to these
directories and its outputs from them; a step with any other address fails.
"""

import pathlib

ROOT = pathlib.Path("/")
_STORES = {"gs://": "gcs", "minio://": "minio", "s3://": "s3"}


def local(address: str) -> str:
    """Returns the directory for an object store's address; any other path is returned unchanged."""
    for scheme, directory in _STORES.items():
        if address.startswith(scheme):
            return str(ROOT / directory / address.removeprefix(scheme))
    return address
