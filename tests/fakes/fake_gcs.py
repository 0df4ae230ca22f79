"""Fake Google Cloud Storage: as much of its JSON API as TensorFlow's and Beam's clients use.

TensorFlow's client accepts no address but Google's, but reads a proxy and certificates from the
environment. So this is a proxy that answers for Google itself and connects to nobody. It differs
from a disk as the real store does: there are objects without directories, a rename copies and
deletes, and credentials are required.

    with fake_gcs.serving(folder) as store:
        subprocess.run(command, env={**os.environ, **store.environment})

Tests use it as the fixture `store`.
"""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping

import certificates
import fake_gcs_server
from cryptography import x509
from google.cloud import storage


@dataclasses.dataclass(frozen=True)
class Store:
    """A running server.

    Attributes:
        environment: environment variables that direct clients to the server.
        folder: the folder of the server's files.
    """

    environment: Mapping[str, str]
    folder: pathlib.Path

    def refuse(self, pattern: str) -> None:
        """Refuses writes of objects whose name matches, until called with an empty pattern."""
        (self.folder / fake_gcs_server.REFUSED).write_text(pattern)

    def written(self, bucket: str, below: str = "") -> list[str]:
        """Returns the names of objects, in the order of their last write."""
        blobs = storage.Client().list_blobs(bucket, prefix=below)
        return [blob.name for blob in sorted(blobs, key=lambda blob: blob.generation)]

    def unknown_requests(self) -> list[str]:
        """Returns the requests that this server does not support."""
        file = self.folder / fake_gcs_server.UNKNOWN
        return file.read_text().splitlines() if file.exists() else []


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[Store]:
    """Context manager: runs a server, in its own process, that has a bucket of every name."""
    folder.mkdir(parents=True)
    certificates.write(folder, x509.DNSName("*.googleapis.com"))
    credentials = folder / "credentials.json"
    known = {"client_id": "id", "client_secret": "secret", "refresh_token": "refresh"}
    credentials.write_text(json.dumps({"type": "authorized_user", **known}))
    process = subprocess.Popen(
        [sys.executable, fake_gcs_server.__file__, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        authority = str(folder / certificates.AUTHORITY)
        environment = {
            "HTTPS_PROXY": address,
            "https_proxy": address,  # TensorFlow's built-in curl reads only this one
            "no_proxy": "127.0.0.1,localhost",
            "CURL_CA_BUNDLE": authority,
            "REQUESTS_CA_BUNDLE": authority,
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
            "GOOGLE_CLOUD_PROJECT": "project",
            "NO_GCE_CHECK": "true",
        }
        yield Store(environment, folder)
    finally:
        process.kill()
        process.wait()
