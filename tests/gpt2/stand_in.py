"""A stand-in for the Hugging Face Hub on 127.0.0.1: the protocol by which `huggingface_hub` fetches single files.

    HEAD /{owner}/{name}/resolve/{revision}/{file}  ->  X-Repo-Commit, ETag, Content-Length
    GET  the same                                   ->  the same, and the bytes

What is not there is answered as the Hub does: 404 with an X-Error-Code, which huggingface_hub turns into its errors.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"  # what `StandIn.add` calls a commit unless told otherwise

_RESOLVE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


class Refusal(Exception):  # noqa: N818
    """An answer without a file."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class StandIn:
    """What the stand-in has, and what it was asked. Change it while it runs."""

    address: str
    commits: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)  # (repository, commit): file: bytes
    branches: dict[tuple[str, str], str] = field(default_factory=dict)  # (repository, branch): commit
    refusals: dict[str, Refusal] = field(default_factory=dict)  # repository: how everything in it is answered
    requests: list[str] = field(default_factory=list)  # "HEAD /owner/name/resolve/main/config.json", ...

    def add(self, repository: str, folder: Path, commit: str = COMMIT, branch: str = "main") -> None:
        """A commit with the files of this folder, to which the branch points from now on."""
        self.commits[repository, commit] = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.branches[repository, branch] = commit

    def find(self, repository: str, revision: str, file: str) -> tuple[str, bytes]:
        """-> the commit and the bytes of this file. Raises Refusal."""
        if repository in self.refusals:
            raise self.refusals[repository]
        if repository not in {known for known, _ in self.commits}:
            raise Refusal(404, X_Error_Code="RepoNotFound")
        commit = self.branches.get((repository, revision), revision)
        if (repository, commit) not in self.commits:
            raise Refusal(404, X_Error_Code="RevisionNotFound")
        if file not in self.commits[repository, commit]:
            raise Refusal(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        return commit, self.commits[repository, commit][file]

    def files_asked_for(self) -> set[str]:
        return {request.split("/resolve/")[1] for request in self.requests if "/resolve/" in request}


@contextmanager
def running() -> Iterator[StandIn]:
    """A stand-in that answers while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            try:
                match = _RESOLVE.fullmatch(unquote(self.path))
                if match is None:
                    raise Refusal(404)
                commit, content = hub.find(**match.groupdict())
                status, headers = 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
            except Refusal as refusal:
                status, headers, content = refusal.status, refusal.headers, b""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Requests are recorded, not printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub = StandIn(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
