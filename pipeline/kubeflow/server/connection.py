"""Connection to a Kubeflow Pipelines server: signs in and finds out which API it serves."""

import dataclasses
import pathlib
import ssl

import kfp_server_api as kfp

from models.errors import UserError
from pipeline.kubeflow.server.pipelines_api import PipelinesApi
from pipeline.kubeflow.server.transport import ServerError, Transport
from pipeline.kubeflow.server.v1beta1 import V1Beta1
from pipeline.kubeflow.server.v2beta1 import V2Beta1

GENERATIONS: dict[str, type[V1Beta1] | type[V2Beta1]] = {"v1beta1": V1Beta1, "v2beta1": V2Beta1}
"""The APIs, preferred one first: only v1beta1 has a run's metrics, and so its verdict."""

_POD_HOST = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"


@dataclasses.dataclass(frozen=True)
class SignIn:
    """The address of the server, and the user's credentials.

    Attributes:
        host: the server's address; None for the cluster that this process runs in.
        namespace: the user's namespace, on a multi-user server.
        token: a bearer token; takes precedence over `token_file`.
        token_file: a file with a bearer token, which is read for every request, as it may be
            renewed.
        cookie: a cookie as browsers send it, `authservice_session=...`.
        ca_cert: the certificate of the CA that signed the server's.
        pod: the directory in which Kubernetes puts a pod's own tokens.
    """

    host: str | None = None
    namespace: str | None = None
    token: str | None = None
    token_file: pathlib.Path | None = None
    cookie: str | None = None
    ca_cert: pathlib.Path | None = None
    pod: pathlib.Path = pathlib.Path("/var/run/secrets")


def connect(sign_in: SignIn, generation: str | None = None) -> PipelinesApi:
    """Connects to a server.

    Args:
        sign_in: the address and the credentials.
        generation: a key of `GENERATIONS`; by default the first that the server serves.

    Raises:
        UserError: an option is wrong or missing.
        ServerError: the server cannot be reached, refuses the request, or serves no such API.
    """
    configuration, namespace = _configure(sign_in)
    client = kfp.ApiClient(configuration, cookie=sign_in.cookie)
    client.rest_client = Transport(configuration)
    candidates = [generation] if generation else list(GENERATIONS)
    for candidate in candidates:
        health = _health(client, candidate)
        if health is None:
            continue
        several = bool(health.get("multi_user"))
        if several and not namespace:
            raise UserError(
                f"{configuration.host}: is a multi-user server; give your namespace as --namespace"
            )
        # A single-user server refuses every request that names a namespace.
        return GENERATIONS[candidate](client, namespace if several else None)
    raise ServerError(
        f"{configuration.host}: no Kubeflow Pipelines here that serves {' or '.join(candidates)}; "
        "behind the dashboard of Kubeflow its path is /pipeline",
        404,
    )


def _health(client: kfp.ApiClient, generation: str) -> dict | None:
    try:
        answer = client.call_api(
            f"/apis/{generation}/healthz",
            "GET",
            header_params={"Accept": "application/json"},
            response_type="object",
            auth_settings=["Bearer"],
            _return_http_data_only=True,
        )
    except ServerError as error:
        if error.status == 404:
            return None
        raise
    return answer if isinstance(answer, dict) else None


def _configure(sign_in: SignIn) -> tuple[kfp.Configuration, str | None]:
    """Returns the client library's configuration, and the namespace."""
    configuration = kfp.Configuration()
    token_file, namespace = sign_in.token_file, sign_in.namespace
    if sign_in.host:
        configuration.host = _address(sign_in.host)
    else:
        account = sign_in.pod / "kubernetes.io" / "serviceaccount" / "namespace"
        if not account.exists():
            raise UserError(
                "--host: missing; only known in a pod of the cluster; elsewhere, run "
                "'kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80' and give "
                "--host http://localhost:8080"
            )
        configuration.host = _POD_HOST
        namespace = namespace or account.read_text().strip()
        projected = sign_in.pod / "kubeflow" / "pipelines" / "token"
        if projected.exists():
            token_file = token_file or projected
    token = sign_in.token
    if token_file and not token:
        path, token = token_file, _token(token_file)
        configuration.refresh_api_key_hook = lambda refreshed: refreshed.api_key.update(
            authorization=_token(path)
        )
    if token:
        configuration.api_key["authorization"] = token
        configuration.api_key_prefix["authorization"] = "Bearer"
    if sign_in.ca_cert:
        configuration.ssl_ca_cert = _certificate(sign_in.ca_cert)
    return configuration, namespace


def _address(host: str) -> str:
    if not host.startswith(("http://", "https://")):
        raise UserError(f"--host {host}: expected http:// or https:// at its start")
    # An address copied from a browser includes the page.
    return host.partition("/#")[0].rstrip("/")


def _token(path: pathlib.Path) -> str:
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise UserError(f"--token-file {path}: cannot be read: {error.strerror}") from None
    if not token:
        raise UserError(f"--token-file {path}: is empty")
    return token


def _certificate(path: pathlib.Path) -> str:
    try:
        ssl.create_default_context(cafile=str(path))
    except FileNotFoundError:
        raise UserError(f"--ca-cert {path}: no such file") from None
    except OSError:
        raise UserError(f"--ca-cert {path}: expected certificates in PEM") from None
    return str(path)
