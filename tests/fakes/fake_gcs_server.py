"""The server of `fake_gcs`: a proxy that answers for Google Cloud Storage from memory.

It connects to nobody. It supports the requests of TensorFlow's, TFX's and Beam's clients; any other
request is recorded and answered with an error.
"""

import collections
import dataclasses
import datetime
import email.parser
import email.policy
import http.server
import json
import pathlib
import re
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from email.message import Message
from typing import NamedTuple

import certificates

TOKEN = "a-token"
REFUSED = "refused-names.txt"
"""File in the server's folder: a pattern of object names whose writes are refused."""
UNKNOWN = "unknown-requests.txt"
"""File in the server's folder: the unsupported requests."""


@dataclasses.dataclass
class _Object:
    name: str
    content: bytes
    generation: int

    def resource(self, bucket: str) -> dict[str, str]:
        stamp = datetime.datetime.fromtimestamp(self.generation / 1e6, datetime.timezone.utc)
        text = stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": self.name,
            "size": str(len(self.content)),
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": "application/octet-stream",
            "updated": text,
            "timeCreated": text,
        }


@dataclasses.dataclass
class _Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _json(value: object, status: int = 200) -> _Answer:
    return _Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _error(status: int, message: str) -> _Answer:
    return _json({"error": {"code": status, "message": message}}, status)


class _Buckets:
    """All objects, and the requests on them."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._buckets: dict[str, dict[str, _Object]] = collections.defaultdict(dict)
        self._uploads: dict[str, tuple[str, str, bytearray]] = {}
        self._last_generation = 0
        self._lock = threading.RLock()

    def answer(self, method: str, url: str, headers: Message, body: bytes) -> _Answer:
        """Answers a request."""
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        if parts.path.endswith("/token"):
            return _json({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})
        upload = parts.path.removeprefix("/uploads/")
        if upload in self._uploads:
            return self._go_on(upload, headers, body)
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "no credentials")
        with self._lock:
            for way, pattern, do in _ROUTES:
                if way == method and (match := re.fullmatch(pattern, parts.path)):
                    names = [urllib.parse.unquote(name) for name in match.groups()]
                    return do(self, names, query, headers, body)
        with open(self._folder / UNKNOWN, "a") as file:
            file.write(f"{method} {url}\n")
        return _error(501, f"{method} {url}")

    def bucket(self, names, query, headers, body) -> _Answer:
        return _json({"kind": "storage#bucket", "name": names[0], "location": "US"})

    def list(self, names, query, headers, body) -> _Answer:
        (bucket,) = names
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        items, prefixes = [], set()
        for name, item in sorted(self._buckets[bucket].items()):
            if not name.startswith(prefix) or name <= query.get("pageToken", ""):
                continue
            head, separator, _ = (
                name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            )
            if separator:
                prefixes.add(prefix + head + separator)
            else:
                items.append(item.resource(bucket))
        answer = {"kind": "storage#objects", "prefixes": sorted(prefixes), "items": items}
        most = int(query.get("maxResults", 1000))
        if len(items) > most:
            answer.update(items=items[:most], nextPageToken=items[most - 1]["name"])
        return _json(answer)

    def get(self, names, query, headers, body) -> _Answer:
        bucket, name = names
        if query.get("alt") == "media":
            return self.download(names, query, headers, body)
        stored = self._buckets[bucket].get(name)
        return _json(stored.resource(bucket)) if stored else _error(404, f"no object {name}")

    def download(self, names, query, headers, body) -> _Answer:
        bucket, name = names
        stored = self._buckets[bucket].get(name)
        if not stored:
            return _error(404, f"no object {name}")
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
        if not asked:
            return _Answer(200, stored.content)
        first, size = int(asked[1]), len(stored.content)
        if first >= size:
            return _error(416, "behind the end")
        content = stored.content[first : int(asked[2]) + 1 if asked[2] else size]
        content_range = f"bytes {first}-{first + len(content) - 1}/{size}"
        return _Answer(206, content, {"Content-Range": content_range})

    def delete(self, names, query, headers, body) -> _Answer:
        bucket, name = names
        return _Answer(204) if self._buckets[bucket].pop(name, None) else _error(404, name)

    def copy(self, names, query, headers, body) -> _Answer:
        source, name, way, target, copy = names
        stored = self._buckets[source].get(name)
        if not stored:
            return _error(404, f"no object {name}")
        answer = self._put(target, copy, stored.content)
        if way == "copy" or answer.status != 200:
            return answer
        size = str(len(stored.content))
        done = {"kind": "storage#rewriteResponse", "done": True, "objectSize": size}
        resource = json.loads(answer.body)
        return _json({**done, "totalBytesRewritten": size, "resource": resource})

    def upload(self, names, query, headers, body) -> _Answer:
        (bucket,) = names
        name = query.get("name", "")
        if query["uploadType"] == "media":
            if query.get("ifGenerationMatch") == "0" and name in self._buckets[bucket]:
                return _error(412, f"{name} is there already")
            return self._put(bucket, name, body)
        if query["uploadType"] == "multipart":
            described, content = _parts(headers, body)
            return self._put(bucket, json.loads(described.content)["name"], content.content)
        name = name or json.loads(body)["name"]
        upload_id = str(len(self._uploads))
        self._uploads[upload_id] = (bucket, name, bytearray())
        return _Answer(
            200, headers={"Location": f"https://storage.googleapis.com/uploads/{upload_id}"}
        )

    def _go_on(self, upload: str, headers: Message, body: bytes) -> _Answer:
        """Takes a part of a resumable upload; stores the object at the last part."""
        bucket, name, content = self._uploads[upload]
        content += body
        content_range = re.fullmatch(
            r"bytes (?:\*|\d+-\d+)/(\d+|\*)", headers.get("Content-Range", "")
        )
        if content_range and (content_range[1] == "*" or len(content) < int(content_range[1])):
            return _Answer(308, headers={"Range": f"bytes=0-{len(content) - 1}"} if content else {})
        with self._lock:
            return self._put(bucket, name, bytes(content))

    def batch(self, names, query, headers, body) -> _Answer:
        answers = []
        for part in _parts(headers, body):
            line, _, rest = part.content.partition(b"\r\n" if b"\r\n" in part.content else b"\n")
            method, url, _ = line.decode().split(" ")
            inner = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(rest)
            one = self.answer(method, url, headers, str(inner.get_payload()).encode())
            answers.append(
                b"--batch\r\nContent-Type: application/http\r\n\r\n"
                + f"HTTP/1.1 {one.status} X\r\n".encode()
                + b"Content-Type: application/json\r\n"
                + f"Content-Length: {len(one.body)}\r\n\r\n".encode()
                + one.body
                + b"\r\n"
            )
        kind = {"Content-Type": "multipart/mixed; boundary=batch"}
        return _Answer(200, b"".join(answers) + b"--batch--\r\n", kind)

    def _put(self, bucket: str, name: str, content: bytes) -> _Answer:
        refused = self._folder / REFUSED
        pattern = refused.read_text() if refused.exists() else ""
        if pattern and re.search(pattern, name):
            return _error(403, f"{name} is refused")
        # Microseconds, as in the real store, and strictly increasing.
        self._last_generation = max(self._last_generation + 1, int(time.time() * 1e6))
        stored = _Object(name, content, self._last_generation)
        self._buckets[bucket][name] = stored
        return _json(stored.resource(bucket))


_OBJECT = "/storage/v1/b/([^/]+)/o/([^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., _Answer]], ...] = (
    ("GET", "/storage/v1/b/([^/]+)", _Buckets.bucket),
    ("GET", "/storage/v1/b/([^/]+)/o", _Buckets.list),
    ("GET", _OBJECT, _Buckets.get),
    ("GET", f"/download{_OBJECT}", _Buckets.download),
    ("DELETE", _OBJECT, _Buckets.delete),
    ("POST", f"{_OBJECT}/(rewrite|copy)To/b/([^/]+)/o/([^/]+)", _Buckets.copy),
    ("POST", "/upload/storage/v1/b/([^/]+)/o", _Buckets.upload),
    ("POST", "/batch/storage/v1", _Buckets.batch),
    ("GET", "/([^/]+)/(.+)", _Buckets.download),  # XML API
)


class _Part(NamedTuple):
    headers: Message
    content: bytes


def _parts(headers: Message, body: bytes) -> list[_Part]:
    """Splits a multipart body into its parts."""
    boundary = re.search(r'boundary="?([^";]+)', headers["Content-Type"])
    assert boundary
    parts = []
    for text in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = re.sub(rb"\A\r?\n|\r?\n\Z", b"", text).partition(
            b"\r\n\r\n" if b"\r\n\r\n" in text else b"\n\n"
        )
        parts.append(_Part(email.parser.BytesHeaderParser().parsebytes(head), content))
    return parts


class _Handler(http.server.BaseHTTPRequestHandler):
    """Handler of one connection to the proxy."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise the body waits for the headers' acknowledgement
    buckets: _Buckets
    certificates: ssl.SSLContext

    def do_CONNECT(self) -> None:
        """Accepts a tunnel to Google and serves the rest of the connection as that host."""
        if not self.path.endswith("googleapis.com:443"):
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.connection = self.certificates.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def _do(self) -> None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.buckets.answer(self.command, self.path, self.headers, body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = _do

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *unused) -> None:
        """Logs nothing."""


def main(folder: pathlib.Path) -> None:
    """Prints the port, then serves until killed."""
    _Handler.buckets = _Buckets(folder)
    _Handler.certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _Handler.certificates.load_cert_chain(folder / certificates.SERVER)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
