"""Google Cloud Storage on this machine: enough of its JSON API for TensorFlow's client and Beam's.

TensorFlow's client takes no other address than Google's, but a proxy and certificates from the
environment. So this is a proxy, which answers for Google itself and connects to nobody; everything
that makes a store differ from a disk is as it is there: objects without directories, a rename
that copies and deletes, and credentials that are asked for.

    with fake_gcs.serving(folder) as store:
        subprocess.run(command, env={**os.environ, **store.environment})

Tests have it as the fixture `store`.
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
    """A server that runs.

    Attributes:
        environment: what leads clients there.
        folder: of the server's own files.
    """

    environment: Mapping[str, str]
    folder: pathlib.Path

    def refuse(self, pattern: str) -> None:
        """Has no object written whose name matches, until it is called with an empty pattern."""
        (self.folder / fake_gcs_server.REFUSED).write_text(pattern)

    def written(self, bucket: str, below: str = "") -> list[str]:
        """The names of objects, in the order in which they were written last."""
        blobs = storage.Client().list_blobs(bucket, prefix=below)
        return [blob.name for blob in sorted(blobs, key=lambda blob: blob.generation)]

    def unknown_requests(self) -> list[str]:
        """What clients asked for that this server does not have."""
        file = self.folder / fake_gcs_server.UNKNOWN
        return file.read_text().splitlines() if file.exists() else []


@contextlib.contextmanager
def serving(folder: pathlib.Path) -> Iterator[Store]:
    """Runs a server in a process of its own, with one bucket of every name."""
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
            "https_proxy": address,  # curl, which is inside TensorFlow, reads this one alone
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
