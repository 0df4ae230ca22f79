"""Requests to the server, checked against their route, with helpers for their handlers."""

import base64
import binascii
import email
import email.policy
import json
import urllib.parse

from pipelines_server import refusals, strict
from pipelines_server.refusals import INVALID, Refused


class Request:
    """A request as received."""

    def __init__(self, handler, users):
        url = urllib.parse.urlsplit(handler.path)
        self.method, self.address = handler.command, urllib.parse.unquote(url.path)
        self.query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        self.headers = handler.headers
        self.data = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        keys = [token, self.headers.get("Cookie")]
        self.namespaces = next((users[key] for key in keys if key in users), None) if users else []


class Call:
    """A request that matches its route; others are refused."""

    def __init__(self, server, request, path, route, api):
        self._server, self._request, self._api = server, request, api
        self.path = path
        self._resource = route["path"].split("/")[3]
        verbs = {"DELETE": "delete", "POST": "create"}
        self._verb = verbs.get(route["method"], "get" if path else "list")
        names = [name for name, _ in request.query]
        wrong = [f"unknown query parameter {n!r}" for n in names if n not in route["query"]]
        wrong += [f"query parameter {n!r} twice" for n in set(names) if names.count(n) > 1]
        self.query = {name: value for name, value in request.query if value}
        kind = (request.headers.get("Content-Type") or "").partition(";")[0]
        if route["content_type"] and kind != route["content_type"]:
            wrong.append(f"content type {kind!r}, not {route['content_type']!r}")
        self.body, self.file, self.file_name = None, None, None
        if route["files"]:
            self._read_file(route["files"][0], wrong)
        elif route["body"]:
            self._read_body(route["body"], wrong)
        elif request.data not in (b"", b"{}"):
            wrong.append("a body where none is taken")
        if wrong:
            raise Refused(INVALID, "; ".join(wrong))

    def allow(self, namespace):
        """Raises `Refused` unless the namespace is one of the user's."""
        if self._server.users is None:
            return
        if not namespace:
            raise Refused(INVALID, "Invalid input error: namespace is empty in multi-user mode")
        if namespace not in self._request.namespaces:
            user = "user@example.com"
            raise refusals.not_authorized(user, namespace, self._verb, self._resource)

    def of_namespace(self, entries, namespace):
        """Returns the entries of a namespace; without users there are no namespaces."""
        if self._server.users is None:
            if namespace and not self._server.is_2x:  # which ignores it
                raise Refused(INVALID, "In single-user mode, cannot filter by namespace.")
            return entries
        self.allow(namespace)
        return [entry for entry in entries if entry.namespace == namespace]

    def experiment(self, experiment_id):
        """Returns the id of the experiment of a run, in which the user must be allowed to run.

        apiserver/resource/resource_manager.go, GetValidExperimentNamespacePair: 2.x has a default.
        """
        if not experiment_id:
            if not self._server.is_2x:
                raise Refused(INVALID, "The experiment is missing in resource_references")
            if self._server.users is not None:
                raise Refused(INVALID, "Experiment id can not be empty in multi-user mode")
            return next(iter(self._server.cluster.experiments))
        self.allow(self._server.cluster.find("experiment", experiment_id).namespace)
        return experiment_id

    def page(self, field, entries, view):
        """Returns a page of a list, filtered and sorted as requested.

        apiserver/list/list.go, and apiserver/server/list_request_util.go, validatedListOptions: a
        token contains the order and the filter, which later requests may only repeat.
        """
        order = {"sort_by": self.query.get("sort_by", ""), "filter": self.query.get("filter", "")}
        first = 0
        if token := self.query.get("page_token"):
            first, bound = _read_token(token)
            if any(order.values()) and order != bound:
                raise Refused(
                    INVALID,
                    "page token does not match the supplied sort by and/or filtering criteria. "
                    "Either specify the same criteria or leave the latter empty if page token is "
                    "specified",
                )
            order = bound
        wanted = self._wanted_names(order["filter"])
        # MySQL compares without case.
        entries = self._sorted(
            [entry for entry in entries if {entry.name.casefold()} >= wanted], order["sort_by"]
        )
        last = first + int(self.query.get("page_size", 20))
        token = base64.b64encode(json.dumps([last, order]).encode()).decode()
        return {
            field: [view(entry) for entry in entries[first:last]],
            "total_size": len(entries),
            "next_page_token": token if last < len(entries) else "",
        }

    def _wanted_names(self, text):
        """Returns the names that the filter asks for; equality is the only supported operation."""
        # The versions of the API name the operation and the key differently.
        first = "ApiRun" in self._api["models"]
        operation, keys = ("op", {"name"}) if first else ("operation", {"name", "display_name"})
        names = set()
        for entry in json.loads(text or '{"predicates": []}')["predicates"]:
            known = {operation, "key", "stringValue", "string_value"}
            equals = entry.get(operation) in ("EQUALS", 1)
            if set(entry) - known or not equals or entry.get("key") not in keys:
                raise Refused(INVALID, f"Invalid filter: {entry}")
            names.add(entry.get("stringValue", entry.get("string_value")).casefold())
        return names

    def _sorted(self, entries, sort_by):
        field, _, order = (sort_by or "created_at").partition(" ")
        if field not in ("created_at", "name") or order not in ("", "asc", "desc"):
            raise Refused(INVALID, f"Invalid sorting field: {field} {order}")
        key = {"created_at": "created", "name": "name"}[field]
        # Within the same second, the later entry is the newer.
        ordered = sorted(enumerate(entries), key=lambda pair: (getattr(pair[1], key), pair[0]))
        return [entry for _, entry in (ordered[::-1] if order == "desc" else ordered)]

    def _read_body(self, kind, wrong):
        try:
            self.body = json.loads(self._request.data)
        except ValueError:
            wrong.append("the body is no JSON")
        else:
            wrong += strict.mistakes(self.body, kind, self._api)

    def _read_file(self, field, wrong):
        head = f"Content-Type: {self._request.headers.get('Content-Type')}\r\n\r\n".encode()
        form = email.message_from_bytes(head + self._request.data, policy=email.policy.HTTP)
        parts = {p.get_param("name", header="content-disposition"): p for p in form.walk()}
        if field not in parts:
            wrong.append(f"expected a file {field!r}")
            return
        self.file_name = parts[field].get_filename()
        self.file = bytes(parts[field].get_payload(decode=True)).decode()


def _read_token(text):
    try:
        return json.loads(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise Refused(INVALID, "Invalid package token") from None
