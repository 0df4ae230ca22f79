"""A pod's service account: the files that Kubernetes mounts, and the check of its token."""

import ipaddress
import pathlib
import shutil
import ssl

import certificates
from cryptography import x509

NAMESPACE = "pricing"


class ServiceAccount:
    """The files of a pod's service account, for a server on the loopback address.

    Args:
        folder: an empty folder; its subfolder `pod` gets the files that are mounted into the pod.
    """

    def __init__(self, folder: pathlib.Path):
        certificates.write(folder, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        self.pod = folder / "pod"
        self.pod.mkdir()
        self.token = "a-token"
        (self.pod / "token").write_text(self.token)
        (self.pod / "namespace").write_text(NAMESPACE)
        shutil.copy(folder / certificates.AUTHORITY, self.pod / "ca.crt")
        self._server = folder / certificates.SERVER

    def is_shown(self, authorization: str | None) -> bool:
        scheme, _, token = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and token == self.token

    def tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._server)
        return context
