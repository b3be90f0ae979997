"""A hub on this machine: answers what huggingface_hub asks of the real one when it looks for a file and streams it."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

REPOSITORY = "nvidia/PhysicalAI-Robotics-Locomanipulation-GRAIL"
FOLDER = "checkpoint/SONIC/models"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "fedcba9876543210fedcba9876543210fedcba98"


class LocalHub:
    """Large files are behind a redirect to a store of another host name, as the real hub has them; small ones are answered directly.

    `requests` has (method, path, headers) of every request. The next longer answer can end after `cut` bytes, or hang after `stall`
    bytes. All answers can be `corrupt`, of the same length; a store that is `down` closes connections.
    """

    def __init__(self):
        self.revisions = {"main": COMMIT, COMMIT: COMMIT}
        self.files = {COMMIT: {}}
        self.requests = []
        self.cut = None
        self.stall = None
        self.corrupt = False
        self.down = self.down_after_cut = False
        self.with_checksums = True
        self.released = threading.Event()
        hub = self

        class Handler(_Handler):
            owner = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def put(self, name, content, commit=COMMIT):
        self.files.setdefault(commit, {})[f"{FOLDER}/{name}"] = content

    def streamed(self):
        """The GET requests that ask for content, as (path, Range header or None)."""
        return [
            (path, headers.get("Range"))
            for method, path, headers in self.requests
            if method == "GET" and ("/store/" in path or path.endswith(".yaml"))
        ]

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, *, with_body):
        hub = self.owner
        path = unquote(self.path)
        hub.requests.append((self.command, path, dict(self.headers)))
        prefix = f"/datasets/{REPOSITORY}/resolve/"
        if path.startswith("/store/") and hub.down:
            self.close_connection = True
        elif path.startswith("/store/"):
            self._content(self._stored(path.removeprefix("/store/")), with_body)
        elif not path.startswith(prefix):
            self._status(401, {"X-Error-Code": "RepoNotFound"})
        else:
            revision, _, name = path.removeprefix(prefix).partition("/")
            if revision not in hub.revisions:
                self._status(404, {"X-Error-Code": "RevisionNotFound"})
                return
            commit = hub.revisions[revision]
            content = hub.files[commit].get(name)
            if content is None:
                self._status(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            elif name.endswith(".pt"):
                digest = hashlib.sha256(content).hexdigest()
                etag = digest if hub.with_checksums else "opaque-1"
                linked = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(content)), "X-Repo-Commit": commit}
                self._status(302, linked | {"Location": f"http://localhost:{hub.port}/store/{digest}"})
            else:
                blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                self._content(content, with_body, {"ETag": f'"{blob}"', "X-Repo-Commit": commit})

    def _stored(self, digest):
        contents = (content for files in self.owner.files.values() for content in files.values())
        return next(content for content in contents if hashlib.sha256(content).hexdigest() == digest)

    def _status(self, code, headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _content(self, content, with_body, headers=None):
        hub = self.owner
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not with_body:
            return
        if hub.corrupt:
            content = bytes(len(content))
        part = content[start:]
        if hub.cut is not None and hub.cut < len(part):
            self.wfile.write(part[: hub.cut])
            hub.cut, hub.down, self.close_connection = None, hub.down_after_cut, True
        elif hub.stall is not None and hub.stall < len(part):
            self.wfile.write(part[: hub.stall])
            self.wfile.flush()
            hub.stall, self.close_connection = None, True
            hub.released.wait(60)
        else:
            self.wfile.write(part)
