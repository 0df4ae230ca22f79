"""How to reach a Kubeflow Pipelines server, and what is said when it does not answer as hoped."""

import contextlib
import dataclasses
import json
import os
import pathlib
import ssl
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import kfp
import kfp_server_api
import urllib3

from pipeline.errors import UserError

V1, V2 = "v1beta1", "v2beta1"
"""The generations of its API."""

_IN_CLUSTER = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_TIMEOUT = 30  # seconds
_NOT_AUTHORISED = (401, 403)
_HELP = "give --token, --token-file or --cookies that the server accepts"


class _Client(kfp.Client):
    """Asks nothing when it is made; the library's own tries for 25 s to learn its namespace."""

    def get_kfp_healthz(self) -> kfp_server_api.ApiGetHealthzResponse:
        return kfp_server_api.ApiGetHealthzResponse(multi_user=False)


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where the server is, and who asks.

    Attributes:
        host: its address; without one we are inside the cluster.
        namespace: of the runs, where an installation has many.
        token: a bearer token.
        cookies: as `authservice_session=...`, of an installation behind a login page.
        ca_certificate: a file, for a server whose certificate nobody else knows.
    """

    host: str | None = None
    namespace: str | None = None
    token: str | None = None
    cookies: str | None = None
    ca_certificate: pathlib.Path | None = None

    def client(self) -> kfp.Client:
        """A client of the server; nothing is asked yet.

        Raises:
            UserError: it is not said where the server is.
        """
        if self.host is None and not _IN_CLUSTER.exists():
            raise UserError(
                "--host: missing, and this is not a pod of a cluster; give the address of the "
                "Kubeflow Pipelines API, as http://localhost:8080 behind `kubectl port-forward`"
            )
        if self.host is not None and not self.host.startswith(("http://", "https://")):
            raise UserError(f"--host {self.host}: expected an address with http:// or https://")
        if self.ca_certificate and not self.ca_certificate.exists():
            raise UserError(f"--ca-certificate {self.ca_certificate}: no such file")
        with warnings.catch_warnings(), self.explained():
            warnings.simplefilter("ignore")
            client = _Client(
                host=self.host,
                namespace=self.namespace or "kubeflow",
                existing_token=self.token,
                cookies=self.cookies,
                ssl_ca_cert=self.ca_certificate and str(self.ca_certificate),
            )
        return client

    def generation(self, client: kfp.Client) -> str:
        """The generation of the API to use: the older one, if the server still has it.

        It is the one whose client library the environment has, and it takes the workflow on
        servers of both generations.

        Raises:
            UserError: the server has neither, or does not answer.
        """
        for generation in (V1, V2):
            with self.explained():
                try:
                    call(client, "GET", f"/apis/{generation}/healthz")
                except kfp_server_api.ApiException as error:
                    if error.status == 404:
                        continue
                    raise
                return generation
        raise UserError(
            f"--host {self.host}: has neither the {V1} nor the {V2} API of Kubeflow Pipelines; is "
            "it the address of the API server?"
        )

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Says in a line what went wrong with a request.

        Raises:
            UserError: the server is not there, refuses us, or answers something else.
        """
        where = f"--host {self.host}" if self.host else "the cluster's API server"
        try:
            yield
        except urllib3.exceptions.MaxRetryError as error:
            reason: Any = error.reason
            if isinstance(reason, (urllib3.exceptions.SSLError, ssl.SSLError)):
                text = "its certificate is not trusted; give --ca-certificate FILE"
            else:
                text = f"not reachable: {_reason(reason)}"
            raise UserError(f"{where}: {text}") from None
        except kfp_server_api.ApiException as error:
            if error.status in _NOT_AUTHORISED:
                text = f"not authorised ({error.status}): {message_of(error)}; {_HELP}"
            elif error.status in (301, 302, 303, 307, 308):
                text = f"answers with a redirect, as a login page does; {_HELP}"
            elif error.status == 0:
                text = str(error.reason)
            else:
                text = f"answers {error.status}: {message_of(error)}"
            raise UserError(f"{where}: {text}") from None
        except (ValueError, json.JSONDecodeError) as error:
            # The client parses what a login page sends as if it were JSON.
            raise UserError(f"{where}: no answer of this API ({error}); {_HELP}") from None


def call(
    client: kfp.Client,
    method: str,
    path: str,
    body: Any = None,
    query: Mapping[str, str] | None = None,
    file: pathlib.Path | None = None,
) -> Any:
    """Sends a request that the client library has no method for.

    Args:
        client: whose connection it is.
        method: of the request.
        path: behind the host.
        body: sent as JSON.
        query: behind the path's question mark.
        file: a workflow to upload.

    Returns:
        The JSON of the answer.
    """
    headers = {"Accept": "application/json"}
    if file or body is not None:
        headers["Content-Type"] = "multipart/form-data" if file else "application/json"
    answer = client._run_api.api_client.call_api(
        path,
        method,
        query_params=list((query or {}).items()),
        header_params=headers,
        body=body,
        files={"uploadfile": str(file)} if file else {},
        response_type="object",
        auth_settings=["Bearer"],
        _return_http_data_only=True,
        _request_timeout=_TIMEOUT,
    )
    if answer is not None and not isinstance(answer, dict):
        raise ValueError("not JSON")
    return answer


def message_of(error: kfp_server_api.ApiException) -> str:
    """What the server says of an error, on one line."""
    try:
        answer = json.loads(error.body or "")
        text = answer.get("error_message") or answer.get("message") or answer.get("error")
    except (ValueError, AttributeError):
        text = None
    return " ".join(str(text or error.reason or "no message").split())[:300]


def _reason(reason: Any) -> str:
    text = str(reason)
    return text.rpartition(": ")[2].rstrip(")'") or os.strerror(0)
