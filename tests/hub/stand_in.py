"""A stand-in for the Hugging Face Hub on 127.0.0.1: what the real one answers when single files are fetched.

    with running() as hub:
        hub.add("owner/name", folder)                  # a commit with these files; "main" points to it
        ... HF_ENDPOINT=hub.address ...
        assert hub.bytes_sent("model.safetensors") == ...

The routes that huggingface_hub 2.4 and gpt2/download.py use, each for HEAD and GET:

    /{owner}/{name}/resolve/{revision}/{file}
        small files     307 to the cache below, on the same host
        *.safetensors   302 to the CDN below, with X-Linked-Size and X-Linked-ETag, the sha256
        both carry X-Repo-Commit
    /api/resolve-cache/models/{owner}/{name}/{commit}/{file}
        the bytes; ETag is the git blob's sha1; JSON comes compressed to those who accept it
    {cdn}/files/{sha256}?Signature=...
        the bytes, from another port and so another origin, which should never see a token; Range is answered 206 or 416
    /api/agent-harnesses
        a list of none, asked for by telemetry

What is not there is answered as the Hub does, with an X-Error-Code, which huggingface_hub turns into its errors.

To disturb it:

    hub.refusals["owner/name"] = Refusal(503)          all of this repository; a list is used up one by one
    hub.private["owner/name"] = {"hf_token"}           a token is needed to see that there is such a repository
    hub.gated["owner/name"] = {"hf_token"}             a token is needed that has accepted the terms
    hub.faults["model.safetensors"] = [Fault(...)]     transfers of this file, used up one by one (see Fault)
    hub.xet = True                                     large files are announced on Xet, too, which nobody serves here

`hub.requests` has every request with its headers, status, and how many bytes of a body it was sent.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"  # what `StandIn.add` calls a commit unless told otherwise

_RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_CACHE = re.compile(r"/api/resolve-cache/models/(?P<repository>[^/]+/[^/]+)/(?P<revision>[^/]+)/(?P<file>.+)")
_FILE = re.compile(r"/files/(?P<sha256>[0-9a-f]{64})")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_IN_MEMORY = 1 << 24  # larger files are read from disk as they are sent
_CHUNK = 1 << 16


class Refusal(Exception):  # noqa: N818
    """An answer without a file. `Refusal(429, Retry_After="7")` carries the header Retry-After."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class Fault:
    """What goes wrong with one transfer: a GET that is answered with the bytes of a file."""

    stop_after: int | None = None  # bytes, then the connection is closed
    pause_after: int | None = None  # bytes, then nothing until `go_on.set()`; `paused` tells that it got there
    wrong: bool = False  # every byte is another one
    ignore_range: bool = False  # 200 and the whole file, whatever was asked for
    shift: int = 0  # bytes by which a range begins later than it should
    seconds_a_chunk: float = 0.0  # how long every 64 KiB take
    refusal: Refusal | None = None  # an answer in place of the bytes
    paused: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


@dataclass
class Request:
    """One request, and how much of a body it was answered with."""

    method: str
    path: str  # without the query, unquoted
    headers: dict[str, str]  # names in lower case
    origin: str  # "hub" or "cdn"
    file: str = ""  # "config.json"; empty for what is no file
    status: int = 0
    sent: int = 0  # bytes of files; those that huggingface_hub or the system has not read yet count, too

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class File:
    """A file of a commit: a small one as it is now, a large one read from disk when it is sent."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.size = path.stat().st_size
        self.path = path
        self.content = path.read_bytes() if self.size < _IN_MEMORY else None
        sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.size)
        with self.open() as opened:
            while chunk := opened.read(1 << 20):
                sha256.update(chunk)
                git.update(chunk)
        self.sha256, self.git = sha256.hexdigest(), git.hexdigest()

    @property
    def is_large(self) -> bool:
        """Whether Git LFS keeps it, as .gitattributes has it in every model's repository."""
        return self.name.endswith((".safetensors", ".bin"))

    def open(self) -> BinaryIO:
        return self.path.open("rb") if self.content is None else BytesIO(self.content)


@dataclass
class StandIn:
    """What the stand-in has, and what it was asked. Change it while it runs."""

    address: str  # for HF_ENDPOINT
    cdn: str  # where large files come from
    commits: dict[tuple[str, str], dict[str, File]] = field(default_factory=dict)  # (repository, commit): name: file
    branches: dict[tuple[str, str], str] = field(default_factory=dict)  # (repository, branch): commit
    private: dict[str, set[str]] = field(default_factory=dict)  # repository: the tokens that may see it
    gated: dict[str, set[str]] = field(default_factory=dict)  # repository: the tokens that accepted its terms
    refusals: dict[str, Refusal | list[Refusal]] = field(default_factory=dict)  # repository: how it is answered
    faults: dict[str, list[Fault]] = field(default_factory=dict)  # name of a file: its next transfers
    linked: dict[str, str] = field(
        default_factory=dict
    )  # headers of the announcement of a large file, in place of its own
    xet: bool = False
    requests: list[Request] = field(default_factory=list)

    def add(self, repository: str, folder: Path, commit: str = COMMIT, branch: str = "main") -> None:
        """A commit with the files of this folder, to which the branch points from now on."""
        self.commits[repository, commit] = {path.name: File(path) for path in folder.iterdir() if path.is_file()}
        self.branches[repository, branch] = commit

    def find(self, repository: str, revision: str, file: str) -> tuple[str, File]:
        """-> the commit and the file. Raises Refusal."""
        if repository not in {known for known, _ in self.commits}:
            raise Refusal(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        commit = self.branches.get((repository, revision), revision)
        if (repository, commit) not in self.commits:
            raise Refusal(404, X_Error_Code="RevisionNotFound", X_Error_Message=f"Invalid rev id: {revision}")
        if file not in self.commits[repository, commit]:
            raise Refusal(404, X_Error_Code="EntryNotFound", X_Error_Message="Entry not found", X_Repo_Commit=commit)
        return commit, self.commits[repository, commit][file]

    def check_access(self, repository: str, authorization: str | None) -> None:
        """Raises Refusal, for whom this repository is not, and where the test wants it."""
        refusal = self.refusals.get(repository)
        if isinstance(refusal, list):
            refusal = refusal.pop(0) if refusal else None
        if refusal is not None:
            raise refusal
        token = authorization.removeprefix("Bearer ") if authorization else None
        tokens = set().union(*self.private.values(), *self.gated.values())
        if token is not None and token not in tokens:
            raise Refusal(401, X_Error_Message="Invalid credentials in Authorization header")
        if repository in self.private and token not in self.private[repository]:
            status = 401 if token is None else 404
            raise Refusal(status, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
        if repository in self.gated and token not in self.gated[repository]:
            message = f"Access to model {repository} is restricted."
            raise Refusal(401 if token is None else 403, X_Error_Code="GatedRepo", X_Error_Message=message)

    def next_fault(self, file: str) -> Fault:
        """What goes wrong with the transfer that begins now."""
        return self.faults[file].pop(0) if self.faults.get(file) else Fault()

    def files_asked_for(self) -> set[str]:
        """ "main/config.json", ..."""
        return {request.path.split("/resolve/")[1] for request in self.requests if "/resolve/" in request.path}

    def transfers(self, file: str) -> list[Request]:
        """The requests that were answered with bytes of this file."""
        return [request for request in self.requests if request.file == file and request.sent]

    def bytes_sent(self, file: str) -> int:
        return sum(request.sent for request in self.transfers(file))


@contextmanager
def running() -> Iterator[StandIn]:
    """A stand-in that answers while the block runs."""
    servers = [_Server(("127.0.0.1", 0), handler) for handler in (_HubHandler, _CDNHandler)]
    hub = StandIn(*(f"http://127.0.0.1:{server.server_port}" for server in servers))
    for server in servers:
        server.hub = hub
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a transfer that is paused for ever holds up nobody
    request_queue_size = 64
    hub: StandIn

    def server_bind(self) -> None:
        """Without the question to name servers what 127.0.0.1 is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up in the middle are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    """What the Hub and the CDN have in common: requests are recorded, bodies sent."""

    protocol_version = "HTTP/1.1"
    origin: str
    request_: Request

    @property
    def hub(self) -> StandIn:
        assert isinstance(self.server, _Server)
        return self.server.hub

    def do_HEAD(self) -> None:
        self.handle_request()

    def do_GET(self) -> None:
        self.handle_request()

    def handle_request(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = unquote(urlsplit(self.path).path)
        self.request_ = Request(self.command, path, headers, self.origin)
        self.hub.requests.append(self.request_)
        try:
            self.route(path)
        except Refusal as refusal:
            self.send_empty(refusal.status, refusal.headers)

    def route(self, path: str) -> None:
        """Answer, or raise Refusal."""
        raise NotImplementedError

    def send_headers(self, status: int, headers: dict[str, str]) -> None:
        self.request_.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_empty(self, status: int, headers: dict[str, str]) -> None:
        self.send_headers(status, {**headers, "Content-Length": "0"})

    def send_file(self, file: File, headers: dict[str, str]) -> None:
        """All of the file, or the range that was asked for, and whatever goes wrong with it."""
        fault = self.hub.next_fault(file.name) if self.command == "GET" else Fault()
        if fault.refusal is not None:
            raise fault.refusal
        status, first, end = 200, 0, file.size
        headers = {**headers, "Accept-Ranges": "bytes"}
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is not None and not fault.ignore_range:
            first, end = int(asked[1]) + fault.shift, min(int(asked[2] or file.size) + 1, file.size)
            if first >= file.size:
                raise Refusal(416, Content_Range=f"bytes */{file.size}")
            status = 206
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{file.size}"
        self.send_headers(status, {**headers, "Content-Length": str(end - first)})
        if self.command == "GET":
            self.send_body(file, first, end, fault)

    def send_body(self, file: File, first: int, end: int, fault: Fault) -> None:
        stops = sorted(n for n in (fault.stop_after, fault.pause_after) if n is not None)
        with file.open() as opened:
            opened.seek(first)
            while first < end:
                sent = self.request_.sent
                if sent == fault.pause_after and not fault.paused.is_set():
                    fault.paused.set()
                    fault.go_on.wait()
                if sent == fault.stop_after:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                until_stop = min((n - sent for n in stops if n > sent), default=_CHUNK)
                chunk = opened.read(min(_CHUNK, end - first, until_stop))
                if fault.wrong:
                    chunk = bytes(byte ^ 0xFF for byte in chunk)
                self.request_.sent += len(chunk)
                self.wfile.write(chunk)
                first += len(chunk)
                time.sleep(fault.seconds_a_chunk)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are recorded, not printed."""


class _HubHandler(_Handler):
    origin = "hub"

    def route(self, path: str) -> None:
        if path == "/api/agent-harnesses":
            return self.send_bytes(b'{"standardEnvVars": [], "harnesses": {}}', {"Content-Type": "application/json"})
        quoted = urlsplit(self.path).path  # in which the slash of a branch's name is %2F
        resolve, cache = _RESOLVE.fullmatch(quoted), _CACHE.fullmatch(quoted)
        match = cache or resolve
        if match is None:
            raise Refusal(404)
        asked = {what: unquote(value) for what, value in match.groupdict().items()}
        self.request_.file = asked["file"].split("/")[-1]
        if resolve:  # the redirect that leads to the cache has been through this already
            self.hub.check_access(asked["repository"], self.headers.get("Authorization"))
        commit, file = self.hub.find(**asked)
        headers = {"X-Repo-Commit": commit}
        if cache:
            return self.send_small_file(file, {**headers, "ETag": f'"{file.git}"'})
        if not file.is_large:
            target = f"/api/resolve-cache/models/{match['repository']}/{commit}/{match['file']}"
            return self.send_empty(307, {**headers, "Location": target})
        headers |= {
            "X-Linked-Size": str(file.size),
            "X-Linked-ETag": f'"{file.sha256}"',
            "Location": f"{self.hub.cdn}/files/{file.sha256}?Signature={file.git}",
        }
        if self.hub.xet:
            token = f"{self.hub.address}/api/models/{match['repository']}/xet-read-token/{commit}"
            headers |= {"X-Xet-Hash": file.sha256, "Link": f'<{token}>; rel="xet-auth"'}
        return self.send_empty(302, {**headers, **self.hub.linked})

    def send_small_file(self, file: File, headers: dict[str, str]) -> None:
        accepts = self.command == "GET" and "gzip" in self.headers.get("Accept-Encoding", "")
        if not (accepts and file.name.endswith(".json")):
            return self.send_file(file, headers)
        with file.open() as opened:
            compressed = gzip.compress(opened.read())
        self.request_.sent = file.size
        self.send_headers(200, {**headers, "Content-Encoding": "gzip", "Transfer-Encoding": "chunked"})
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(compressed), compressed))
        return None

    def send_bytes(self, content: bytes, headers: dict[str, str]) -> None:
        self.send_headers(200, {**headers, "Content-Length": str(len(content))})
        if self.command == "GET":
            self.wfile.write(content)


class _CDNHandler(_Handler):
    origin = "cdn"

    def route(self, path: str) -> None:
        match = _FILE.fullmatch(path)
        files = [file for commit in list(self.hub.commits.values()) for file in commit.values()]
        file = next((file for file in files if match and file.sha256 == match["sha256"]), None)
        if file is None or urlsplit(self.path).query != f"Signature={file.git}":
            raise Refusal(403)  # as a CDN answers what nobody signed
        self.request_.file = file.name
        self.send_file(file, {"ETag": f'"{file.sha256}"', "Content-Type": "application/octet-stream"})
