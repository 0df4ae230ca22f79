"""Tests of the addresses exempt from proxies, for readers of either variable."""

import urllib.request

import pytest

from models.processes import no_proxy

LOOPBACK = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("environment", "exempted", "by_grpc"),
    [
        ({}, LOOPBACK, LOOPBACK),
        ({"no_proxy": "a.example"}, f"a.example,{LOOPBACK}", f"a.example,{LOOPBACK}"),
        # `urllib` would not read the second variable if the first is set.
        ({"NO_PROXY": "a, b"}, f"a,b,{LOOPBACK}", f"a,b,{LOOPBACK}"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, f"a,b,{LOOPBACK}", f"a,b,{LOOPBACK}"),
        ({"no_proxy": "::1,a"}, "::1,a,127.0.0.1,localhost", "::1,a,127.0.0.1,localhost"),
        ({"no_proxy": "*"}, "*", f"*,{LOOPBACK}"),
        ({"no_proxy": "a", "no_grpc_proxy": "c"}, f"a,{LOOPBACK}", f"c,{LOOPBACK}"),
    ],
)
def test_exemptions_are_added_to_those_of_the_environment(environment, exempted, by_grpc):
    found = no_proxy.variables(environment)
    assert found == {"no_proxy": exempted, "NO_PROXY": exempted, "no_grpc_proxy": by_grpc}
    assert no_proxy.variables({**environment, **found}) == found, "twice is as once"


def test_the_process_and_its_children_are_exempt(monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.setenv(name, "a.example")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    no_proxy.exempt(["chief-0"])
    for host in ("127.0.0.1:80", "localhost", "chief-0:2222", "a.example"):
        assert urllib.request.proxy_bypass(host), host
    assert not urllib.request.proxy_bypass("b.example")
