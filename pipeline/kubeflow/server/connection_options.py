"""Options of the commands that use a server: its address, and the user's credentials."""

import functools
import inspect
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models import errors
from pipeline.config.kubeflow_config import Kubeflow

if TYPE_CHECKING:
    from pipeline.kubeflow.server.pipelines_api import PipelinesApi

Connect = Callable[[Kubeflow], "PipelinesApi"]


def _option(names: str, variable: str | None, text: str, **more: Any):
    panel = "The server"
    return typer.Option(*names.split(), envvar=variable, help=text, rich_help_panel=panel, **more)


def _connect(
    kubeflow: Kubeflow,
    host: Annotated[
        str | None,
        _option(
            "--host",
            "KF_PIPELINES_ENDPOINT",
            "Address of Kubeflow Pipelines, as http://localhost:8080.",
            show_default="kubeflow.host; in a pod, its own cluster",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        _option(
            "--namespace -n",
            "KF_PIPELINES_NAMESPACE",
            "Your namespace, on a multi-user server.",
            show_default="kubeflow.namespace",
        ),
    ] = None,
    token: Annotated[
        str | None,
        _option(
            "--token",
            "KF_PIPELINES_TOKEN",
            "A bearer token. Other users can see command lines: prefer --token-file.",
        ),
    ] = None,
    token_file: Annotated[
        pathlib.Path | None,
        _option(
            "--token-file",
            "KF_PIPELINES_SA_TOKEN_PATH",
            "A file with a bearer token, read again for each request; --token takes precedence.",
        ),
    ] = None,
    cookie: Annotated[
        str | None,
        _option(
            "--cookie",
            "KF_PIPELINES_COOKIE",
            "A cookie as your browser sends it, authservice_session=...",
        ),
    ] = None,
    ca_cert: Annotated[
        pathlib.Path | None,
        _option(
            "--ca-cert",
            "KF_PIPELINES_CA_CERT",
            "The CA that signed the server's certificate, in PEM.",
        ),
    ] = None,
    api: Annotated[
        str | None,
        _option("--api", None, "v1beta1 or v2beta1.", show_default="v1beta1 if the server has it"),
    ] = None,
) -> "PipelinesApi":
    # Imported here, as the client libraries load slowly and --help does not need them.
    from pipeline.kubeflow.server import connection

    if api is not None and api not in connection.GENERATIONS:
        raise errors.UserError(f"--api {api}: unknown{errors.nearest(api, connection.GENERATIONS)}")
    sign_in = connection.SignIn(
        host or kubeflow.host, namespace or kubeflow.namespace, token, token_file, cookie, ca_cert
    )
    return connection.connect(sign_in, api)


def asks_the_server(command: Callable[..., None]) -> Callable[..., None]:
    """Decorates a command with these options, and passes it a `connect` that applies them.

    The command calls `connect` with the `kubeflow` section after it has checked everything else.
    """
    parameters, options = (dict(inspect.signature(f).parameters) for f in (command, _connect))
    del parameters["connect"], options["kubeflow"]

    @functools.wraps(command)
    def with_options(**values):
        sign_in = {name: values.pop(name) for name in options}
        command(connect=functools.partial(_connect, **sign_in), **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    every = [p.replace(kind=keyword) for p in (parameters | options).values()]
    with_options.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in every}
    return with_options
