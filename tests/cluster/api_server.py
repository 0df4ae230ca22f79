"""Client of an API server, as strict as `kubectl --validate=strict`."""

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import urllib3

Object = dict[str, Any]
"""An object of the API, as in a manifest."""

_CLUSTER_SCOPED = (
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "ValidatingWebhookConfiguration",
)


class Refused(Exception):
    """The API server refuses a request.

    Attributes:
        status: the status code.
    """

    def __init__(self, status: int, message: str):
        super().__init__(f"{status}: {message}")
        self.status = status


class ApiServer:
    """An API server, for one user.

    Args:
        url: its address.
        authority: the file with its authority's certificate.
        token: the user's token.
    """

    def __init__(self, url: str, authority: str, token: str):
        self.url, self.authority, self.token = url, authority, token
        self._http = urllib3.PoolManager(ca_certs=authority, cert_reqs="REQUIRED", retries=False)

    def create(self, manifest: Object, namespace: str = "", *, dry_run: bool = False) -> Object:
        """Creates an object.

        An unknown field, and whatever else the server warns of, is an error.
        """
        query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        created, warnings = self._ask("POST", self._path(manifest, namespace), query, manifest)
        if warnings:
            raise Refused(201, f"created with a warning: {warnings}")
        return created

    def install(self, manifest: Object) -> None:
        """Creates an object of others, whatever the server warns of."""
        self._ask("POST", self._path(manifest, ""), {}, manifest)

    def read(self, kind: str, name: str, namespace: str = "", version: str = "v1") -> Object | None:
        """Returns an object; None if it does not exist."""
        path = self._path({"apiVersion": version, "kind": kind}, namespace)
        try:
            return self._ask("GET", f"{path}/{name}")[0]
        except Refused as refused:
            if refused.status != 404:
                raise
            return None

    def items(self, kind: str, namespace: str, version: str = "v1", **query: str) -> list[Object]:
        """Returns the objects of a kind."""
        path = self._path({"apiVersion": version, "kind": kind}, namespace)
        return self._ask("GET", path, query)[0]["items"]

    def delete(self, existing: Object) -> None:
        """Deletes an object; whatever it owns is deleted after it."""
        self._ask("DELETE", self._path_of(existing), {"propagationPolicy": "Background"})

    def patch(self, existing: Object, change: Object, subresource: str = "") -> Object:
        """Changes the fields that `change` has."""
        path = f"{self._path_of(existing)}/{subresource}".rstrip("/")
        return self._ask("PATCH", path, {"fieldValidation": "Strict"}, change)[0]

    def token_of(self, account: str, namespace: str) -> str:
        """Returns a new token of a service account."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return self._ask("POST", path, {}, request)[0]["status"]["token"]

    def is_ready(self) -> bool:
        """Returns whether the server answers and is ready."""
        try:
            return self._http.request("GET", f"{self.url}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _path_of(self, existing: Object) -> str:
        metadata = existing["metadata"]
        return f"{self._path(existing, metadata.get('namespace', ''))}/{metadata['name']}"

    def _path(self, manifest: Object, namespace: str) -> str:
        version, kind = manifest["apiVersion"], manifest["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        where = "" if kind in _CLUSTER_SCOPED else f"/namespaces/{namespace}"
        return f"{root}{where}/{kind.lower()}s"

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] = {}, body: Object | None = None
    ) -> tuple[Any, str | None]:
        """Returns the answer and the server's warnings."""
        content_type = "merge-patch+json" if method == "PATCH" else "json"
        answer = self._http.request(
            method,
            f"{self.url}{path}?{urllib.parse.urlencode(query)}",
            body=None if body is None else json.dumps(body),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": f"application/{content_type}",
            },
            timeout=300,
        )
        content = json.loads(answer.data)
        if answer.status >= 300:
            raise Refused(answer.status, content["message"])
        return content, answer.headers.get("Warning")
