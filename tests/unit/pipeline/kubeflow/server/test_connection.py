"""Tests of signing in, and of the messages if it fails: a real client against a real server."""

import pathlib
import socket
import ssl
import subprocess
import threading

import pytest
from pipelines_server.api_server import ApiServer

from models.errors import UserError
from pipeline.kubeflow.server.connection import SignIn, connect
from pipeline.kubeflow.server.transport import ServerError

USERS = {"a-token": ["team"], "authservice_session=abc": ["team"]}
SIGN_IN = "give --token-file, or --cookie authservice_session=..."


def refused(**sign_in):
    with pytest.raises(UserError) as caught:
        connect(SignIn(**sign_in))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("serves", "expected"),
    [(("v1beta1",), "v1beta1"), (("v1beta1", "v2beta1"), "v1beta1"), (("v2beta1",), "v2beta1")],
)
def test_the_first_served_generation_is_used(serves, expected):
    with ApiServer(serves=serves) as server:
        api = connect(SignIn(host=f"{server.url}/#/pipelines"))
        assert (api.generation, api.host) == (expected, server.url)
        assert [experiment.name for experiment in api.experiments()] == ["Default"]


def test_a_requested_generation_is_used():
    with ApiServer(serves=("v1beta1", "v2beta1")) as server:
        assert connect(SignIn(host=server.url), "v2beta1").generation == "v2beta1"
    with ApiServer(serves=("v1beta1",)) as server, pytest.raises(ServerError) as caught:
        connect(SignIn(host=server.url), "v2beta1")
    assert str(caught.value) == (
        f"{server.url}: no Kubeflow Pipelines here that serves v2beta1; "
        "behind the dashboard of Kubeflow its path is /pipeline"
    )


@pytest.mark.parametrize("generation", ["v1beta1", "v2beta1"])
@pytest.mark.parametrize("by", ["token", "token_file", "cookie"])
def test_a_user_signs_in_to_a_multi_user_server(tmp_path, generation, by):
    (tmp_path / "token").write_text("a-token\n")
    keys = {
        "token": "a-token",
        "token_file": tmp_path / "token",
        "cookie": "authservice_session=abc",
    }
    with ApiServer(serves=(generation,), users=USERS) as server:
        api = connect(SignIn(host=server.url, namespace="team", **{by: keys[by]}))
        made = api.create_experiment("houses")
        assert api.experiments() == [made]
        assert server.cluster.experiments[made.id].namespace == "team"


def test_a_renewed_token_is_read_again(tmp_path):
    path = tmp_path / "token"
    path.write_text("a-token")
    with ApiServer(users=USERS) as server:
        api = connect(SignIn(host=server.url, namespace="team", token_file=path))
        server.users = {"another": ["team"]}
        path.write_text("another")
        assert api.experiments() == []


@pytest.mark.parametrize("generation", ["v1beta1", "v2beta1"])
def test_a_user_who_is_not_signed_in_is_refused(generation):
    with ApiServer(serves=(generation,), users=USERS) as server:
        # The API server itself tells anyone how it is; only a login in front of it does not.
        api = connect(SignIn(host=server.url, namespace="team", token="old"))
        with pytest.raises(ServerError) as caught:
            api.experiments()
        assert str(caught.value) == (
            f"{server.url}: not signed in (401): no token or cookie, or an expired one; {SIGN_IN}"
        )
        server.login = "redirect"
        said = refused(host=server.url, namespace="team")
        assert said.startswith(f"{server.url}: not signed in (302): no token or cookie")
        server.login = "page"
        said = refused(host=server.url, namespace="team", cookie="authservice_session=old")
        assert said == (
            f"{server.url}: answered with a web page instead of the API: sign in ({SIGN_IN}), "
            "or add /pipeline to --host if it is Kubeflow's dashboard"
        )


@pytest.mark.parametrize("generation", ["v1beta1", "v2beta1"])
def test_a_namespace_is_required_and_must_be_the_users(generation):
    with ApiServer(serves=(generation,), users=USERS) as server:
        said = refused(host=server.url, token="a-token")
        assert said == f"{server.url}: is a multi-user server; give your namespace as --namespace"
        api = connect(SignIn(host=server.url, namespace="others", token="a-token"))
        with pytest.raises(ServerError) as caught:
            api.experiments()
    assert caught.value.status == 403
    assert str(caught.value) == (
        f"{server.url}: not allowed (403): user@example.com may not list experiments in namespace "
        "others; check --namespace"
    )


def test_a_single_user_server_ignores_the_namespace():
    with ApiServer() as server:
        api = connect(SignIn(host=server.url, namespace="team"))
        assert [experiment.name for experiment in api.experiments()] == ["Default"]


def test_a_refused_connection_is_explained():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert refused(host=f"http://127.0.0.1:{port}").startswith(
        f"http://127.0.0.1:{port}: connection refused; is its port forwarded"
    )
    said = refused(host="http://kubeflow.invalid")
    assert said == "http://kubeflow.invalid: no such host; check --host"


def test_a_port_of_another_protocol_is_explained():
    # As the port for gRPC does.
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=lambda: other.accept()[0].close())
        thread.start()
        host = f"http://127.0.0.1:{other.getsockname()[1]}"
        said = refused(host=host)
        thread.join()
    assert said.startswith(f"{host}: no answer: ") and said.endswith("; check --host")


def test_a_timeout_is_explained(monkeypatch):
    monkeypatch.setattr("pipeline.kubeflow.server.transport._READ_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert refused(host=host) == f"{host}: timed out; check --host and the network"


def test_another_kind_of_server_is_explained():
    with ApiServer() as server:
        server.fail_next = [(503, "upstream connect error\n")]
        assert refused(host=server.url) == f"{server.url}: upstream connect error"
        server.fail_next = [(500, "<html>oops</html>")]
        assert refused(host=server.url) == f"{server.url}: HTTP status 500"
        server.fail_next = [(404, ""), (404, "")]
        assert "no Kubeflow Pipelines here that serves v1beta1 or v2beta1" in refused(
            host=server.url
        )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return key, certificate


def test_a_private_ca_must_be_given(certificate, tmp_path):
    key, ca_cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_cert, key)
    with ApiServer(tls=context) as server:
        assert connect(SignIn(host=server.url, ca_cert=ca_cert)).generation == "v1beta1"
        assert refused(host=server.url) == (
            f"{server.url}: its certificate is not trusted; give the CA that signed it as --ca-cert"
        )
    (tmp_path / "ca.pem").write_text("x")
    assert refused(host=server.url, ca_cert=tmp_path / "ca.pem") == (
        f"--ca-cert {tmp_path / 'ca.pem'}: expected certificates in PEM"
    )
    missing = pathlib.Path("no.pem")
    assert refused(host=server.url, ca_cert=missing) == "--ca-cert no.pem: no such file"


def test_tls_to_a_plain_server_is_explained():
    with ApiServer() as server:
        host = server.url.replace("http:", "https:")
        assert refused(host=host) == f"{host}: does not speak TLS; write http:// in --host"


def test_wrong_options_are_one_line(tmp_path):
    assert refused(host="localhost:8080").startswith("--host localhost:8080: expected http://")
    (tmp_path / "token").write_text("\n")
    assert refused(host="http://x", token_file=tmp_path / "token").endswith("token: is empty")
    assert refused(host="http://x", token_file=tmp_path / "no") == (
        f"--token-file {tmp_path / 'no'}: cannot be read: No such file or directory"
    )
    assert refused(pod=tmp_path).startswith("--host: missing; only known in a pod of the cluster")


def test_a_pod_finds_its_own_cluster(tmp_path):
    for path, text in [
        ("kubernetes.io/serviceaccount/namespace", "team"),
        ("kubeflow/pipelines/token", "a-token"),
    ]:
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    with ApiServer(users=USERS) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.kubeflow.server.connection._POD_HOST", server.url)
        api = connect(SignIn(pod=tmp_path))
        assert api.create_experiment("houses").name == "houses"
        assert [experiment.namespace for experiment in server.cluster.experiments.values()] == [
            "team"
        ]
