"""Fake Kubeflow Pipelines server on 127.0.0.1 that checks requests against the published API.

    with ApiServer(execute) as server:
        ...                     # server.url, for a real client
        server.tick(to=time)    # the schedules due by then fire

The routes, with their parameters and answers, come from the generated client libraries
(`published_api`). Requests with an unknown query parameter or field, or a wrong type, enum or
content type, are refused. An answer that violates the API fails the test that asked for it.
"""

import datetime
import http.server
import json
import re
import threading

from pipelines_server import cluster as c
from pipelines_server import published_api, refusals, strict
from pipelines_server.calls import Call, Request
from pipelines_server.refusals import Refused
from pipelines_server.view_v1beta1 import V1Beta1
from pipelines_server.view_v2beta1 import V2Beta1

HTTP = {
    refusals.INVALID: 400,
    refusals.NOT_FOUND: 404,
    refusals.EXISTS: 409,
    refusals.DENIED: 403,
    refusals.INTERNAL: 500,
    refusals.UNAUTHENTICATED: 401,
}
PAGE = "<!doctype html><html><body><form action='/dex/auth/local'>Log in</form></body></html>"
START = datetime.datetime(2026, 11, 25, 9, 0, tzinfo=datetime.timezone.utc)
APIS = {"v1beta1": published_api.v1beta1, "v2beta1": published_api.v2beta1}
VIEWS: dict = {"v1beta1": V1Beta1, "v2beta1": V2Beta1}


class ApiServer:
    """The server.

    Args:
        execute: runs a workflow, see `cluster.Cluster`.
        serves: the versions of the API.
        users: the namespaces of each user, by bearer token or cookie; None for a server without
            users.
        login: the answer to a client that is not signed in: `status` (401), `redirect` or `page`.
        tls: an `ssl.SSLContext`; None for plain HTTP.
    """

    def __init__(self, execute=None, serves=("v1beta1",), users=None, login="status", tls=None):
        self.is_2x = "v2beta1" in serves
        execute = execute or (lambda workflow, parameters: c.Result())
        self.cluster = c.Cluster(execute, START, self.is_2x)
        self.users, self.login = users, login
        self.requests, self.broken = [], []
        self.fail_next = []  # (status, body) of the next answers, whatever the request
        if not users:
            self.cluster.create_experiment("Default")
        self._routes = []
        for generation in serves:
            api = APIS[generation]()
            handlers = VIEWS[generation](self.cluster).handlers()
            handlers["GET", f"/apis/{generation}/healthz"] = lambda call: {
                "multi_user": bool(users)
            }
            # Fixed paths take precedence over paths with ids.
            for route in sorted(api["routes"], key=lambda route: "{" in route["path"]):
                pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", route["path"])
                handler = handlers.pop((route["method"], route["path"]), None)
                self._routes.append((re.compile(pattern), route, api, handler))
            assert not handlers, f"not in the published API: {list(handlers)}"
        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.cluster.join()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        assert not self.broken, self.broken

    @property
    def execute(self):
        return self.cluster.execute

    @execute.setter
    def execute(self, execute):
        self.cluster.execute = execute

    def tick(self, to):
        return self.cluster.tick(to)

    def answer(self, request):
        """Returns status, headers and body for a request."""
        if self.fail_next:
            status, body = self.fail_next.pop(0)
            return status, {"Content-Type": "text/plain"}, body
        if self.users is not None and request.namespaces is None and not self._is_open(request):
            return self._not_signed_in()
        if request.address == "/dex/auth":
            return 200, {"Content-Type": "text/html"}, PAGE
        for pattern, route, api, handler in self._routes:
            match = pattern.fullmatch(request.address)
            if match and route["method"] == request.method:
                return self._answer(request, match.groupdict(), route, api, handler)
        return 404, {"Content-Type": "application/json"}, '{"code":5,"message":"Not Found"}'

    def _answer(self, request, path, route, api, handler):
        try:
            if handler is None:
                raise Refused(refusals.INTERNAL, f"{route['path']} is not served here")
            call = Call(self, request, path, route, api)
        except Refused as refused:
            return self._error(refused)
        try:
            body = _filled(handler(call))
        except Refused as refused:
            if route["files"]:
                return self._error_of_upload(refused, route["path"])
            return self._error(refused)
        wrong = strict.mistakes(body, route["answer"] or "object", api, "answer")
        if wrong:
            self.broken += wrong
        return 200, {"Content-Type": "application/json"}, json.dumps(body)

    def _is_open(self, request):
        """Whether anyone may ask this; a login in front of the server guards everything."""
        return self.login == "status" and request.address.endswith("/healthz")

    def _not_signed_in(self):
        if self.login == "redirect":
            return 302, {"Location": f"{self.url}/dex/auth?client_id=kubeflow"}, ""
        if self.login == "page":
            return 200, {"Content-Type": "text/html"}, PAGE
        return self._error(refusals.unauthenticated(self.is_2x))

    def _error(self, refused):
        """Returns an error in the form of the gateway.

        common/util/error.go, ToGRPCError: the long message is at the top level, the short one in a
        detail, which is an api.Error in 1.8.5 and a google.rpc.Status from 2.0.0 on. The gateway of
        1.8.5 (grpc-gateway 1.16, runtime/errors.go) has the long one twice.
        """
        error = {"code": refused.code, "message": refused.details}
        if self.is_2x:
            kind = "type.googleapis.com/google.rpc.Status"
            detail = {"@type": kind, "code": refused.code, "message": refused.message}
        else:
            error["error"] = refused.details
            kind = "type.googleapis.com/api.Error"
            detail = {
                "@type": kind,
                "error_message": refused.message,
                "error_details": refused.details,
            }
        body = json.dumps({**error, "details": [detail]})
        return HTTP[refused.code], {"Content-Type": "application/json"}, body

    def _error_of_upload(self, refused, path):
        """Returns the error of an upload, which does not go through the gateway.

        apiserver/server/pipeline_upload_server.go: 1.8.5 sends the long message, with status 500;
        2.17.0 only says what is wrong with the file itself, the rest is in its log.
        """
        if not self.is_2x:
            status, message = 500, f"Error creating pipeline: {refused.details}"
        elif refused.code == refusals.INVALID:
            status, message = 400, refused.message
        else:
            also = "" if path.endswith("version") else " and a pipeline"
            statuses = {refusals.EXISTS: 409, refusals.NOT_FOUND: 400, refusals.DENIED: 400}
            status = statuses.get(refused.code, 500)
            message = f"Failed to create a pipeline{also} version"
        body = json.dumps({"error_message": message, "error_details": message})
        return status, {"Content-Type": "application/json"}, body

    def _handler(server):  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet: a second would wait for an acknowledgement

            def _serve(self):
                request = Request(self, server.users)
                status, headers, body = server.answer(request)
                server.requests.append((request.method, request.address, status))
                data = body.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve

            def log_message(self, *_):
                pass

        return Handler


def _filled(value):
    """Removes empty values, as the real server does."""
    if isinstance(value, dict):
        filled = {key: _filled(item) for key, item in value.items()}
        # A metric's value is in a oneof, which is sent even if it is 0.
        return {k: item for k, item in filled.items() if item or k == "number_value"}
    return [_filled(item) for item in value] if isinstance(value, list) else value
