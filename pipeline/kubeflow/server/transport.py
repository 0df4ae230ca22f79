"""HTTP transport of Kubeflow's client library, with errors that say what to do.

The library itself passes network errors on unchanged, has no timeouts, and follows the redirect to
a login page, which it then takes for an empty response.
"""

import functools
import json
import re
import socket
from typing import Any

import urllib3
from kfp_server_api import exceptions, rest

from models.errors import UserError

_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_NO_ANSWER = 0
_TRANSIENT = {_NO_ANSWER, 429, 502, 503, 504}
_STATUS = "google.rpc.Status"
# All that 2.x says of an upload whose file it can read (pipeline_upload_server.go).
_FAILED_UPLOAD = re.compile(r"Failed to create a pipeline( version| and a pipeline version)?")
# A user's missing right, with the request as Go prints it (resource_manager.go, IsAuthorized).
_MISSING_RIGHT = re.compile(
    r"User '(?P<user>[^']*)' is not authorized.*"
    r"Namespace:(?P<namespace>[^,]*),Verb:(?P<verb>[^,]*),.*Resource:(?P<resource>[^,]*),"
)
_LOG = "kubectl logs -n kubeflow deployment/ml-pipeline"
_SIGN_IN = "give --token-file, or --cookie authservice_session=..."


class ServerError(UserError):
    """The server cannot be reached, or refused a request.

    Attributes:
        status: the HTTP status; 0 if there was no response.
    """

    def __init__(self, message: str, status: int = _NO_ANSWER):
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in _TRANSIENT


class Transport(rest.RESTClientObject):
    """The HTTP client of an `ApiClient`.

    Args:
        configuration: the client library's configuration.
    """

    def __init__(self, configuration):
        super().__init__(configuration)
        self._host = configuration.host
        pool = self.pool_manager
        # Without retries urllib3 does not follow redirects either.
        pool.urlopen = functools.partial(pool.urlopen, retries=False)

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Sends one request.

        Raises:
            ServerError: the request failed; the message says why in one line.
        """
        options["_request_timeout"] = options.get("_request_timeout") or (
            _CONNECT_SECONDS,
            _READ_SECONDS,
        )
        try:
            response = super().request(method, url, **options)
        except exceptions.ApiException as error:
            if not error.status:
                raise ServerError(f"{self._host}: {_untrusted(error.reason)}") from None
            raise ServerError(
                f"{self._host}: {_refusal(error.status, _text(error.body))}", error.status
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise ServerError(f"{self._host}: {_unreachable(error)}") from None
        if _is_page(_text(response.data)):
            raise ServerError(
                f"{self._host}: answered with a web page instead of the API: sign in ({_SIGN_IN}), "
                "or add /pipeline to --host if it is Kubeflow's dashboard",
                response.status,
            )
        return response


def _unreachable(error: Exception) -> str:
    cause = error.__context__
    if isinstance(cause, socket.gaierror):
        return "no such host; check --host"
    if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return "timed out; check --host and the network"
    if isinstance(cause, ConnectionRefusedError):
        return (
            "connection refused; is its port forwarded "
            "(kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80)?"
        )
    reason = getattr(cause, "strerror", None) or cause or error
    return f"no answer: {reason}; check --host"


def _untrusted(reason: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return "its certificate is not trusted; give the CA that signed it as --ca-cert"
    if "WRONG_VERSION_NUMBER" in reason:
        return "does not speak TLS; write http:// in --host"
    return f"TLS failed: {reason.splitlines()[-1]}"


def _refusal(status: int, body: str) -> str:
    message = _message(body)
    if status == 401 or 300 <= status < 400:
        return f"not signed in ({status}): no token or cookie, or an expired one; {_SIGN_IN}"
    if status == 403:
        reason = _denial(message) or "no reason given"
        return f"not allowed (403): {reason}; check --namespace"
    if _FAILED_UPLOAD.fullmatch(message):
        reason = "the name is taken" if status == 409 else f"the server's log says why ({_LOG})"
        return f"{message}: {reason}"
    return message or f"HTTP status {status}"


def _denial(message: str) -> str:
    missing = _MISSING_RIGHT.search(message)
    if not missing:
        return message
    return "{user} may not {verb} {resource} in namespace {namespace}".format(**missing.groupdict())


def _message(body: str) -> str:
    """Returns a server's error message, which is JSON or plain text."""
    try:
        error = json.loads(body)
    except ValueError:
        return "" if _is_page(body) else " ".join(body.split())
    if not isinstance(error, dict):
        return ""
    # The readable message is in an `api.Error` (1.x), a `google.rpc.Status` (2.x) or, of an
    # upload, at the top.
    details = [
        error,
        *(detail for detail in error.get("details") or () if isinstance(detail, dict)),
    ]
    kinds = [(detail, str(detail.get("@type", ""))) for detail in details]
    short = next((detail["error_message"] for detail in details if detail.get("error_message")), "")
    short = short or next(
        (detail.get("message", "") for detail, k in kinds if k.endswith(_STATUS)), ""
    )
    # The short message may be a mere "Internal Server Error", with the reason in the long one.
    long = error.get("message") or error.get("error") or error.get("error_details") or ""
    return " ".join((long if not short or short == "Internal Server Error" else short).split())


def _is_page(text: str) -> bool:
    return text.lstrip().startswith("<")


def _text(body: bytes | str | None) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
