"""Object stores as a V2 step sees them: as directories.

The contract is that of Kubeflow Pipelines' own SDK (`Artifact.path`). Vertex AI mounts every bucket
below `/gcs`. Open-source Kubeflow Pipelines' launcher (`backend/src/v2/component/launcher_v2.go`,
`LocalPathForURI`) copies a step's inputs to these places, and its outputs from there; of any other
address it runs no step.
"""

import pathlib

ROOT = pathlib.Path("/")
_STORES = {"gs://": "gcs", "minio://": "minio", "s3://": "s3"}


def local(address: str) -> str:
    """The directory of an object store's address; any other place is one already."""
    for scheme, directory in _STORES.items():
        if address.startswith(scheme):
            return str(ROOT / directory / address.removeprefix(scheme))
    return address
