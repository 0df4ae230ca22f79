"""Certificates for the test servers."""

import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

AUTHORITY = "ca.pem"
SERVER = "server.pem"


def write(folder: pathlib.Path, name: x509.GeneralName) -> None:
    """Writes an authority's certificate, and a server's key with a certificate signed by it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    subject, issuer = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
        for text in ("a server of the tests", "the tests' authority")
    )

    def certificate(subject, public_key, extension):
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=True)
            .sign(authority_key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    (folder / AUTHORITY).write_bytes(
        certificate(issuer, authority_key.public_key(), x509.BasicConstraints(True, None))
    )
    (folder / SERVER).write_bytes(
        certificate(subject, key.public_key(), x509.SubjectAlternativeName([name]))
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
