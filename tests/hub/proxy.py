"""An HTTP proxy on 127.0.0.1: it fetches what it is asked for, and records what that was.

    GET http://hub.invalid/owner/name/...   ->  fetched from where `routes` says that hub.invalid is
    CONNECT hub.invalid:443                 ->  with a certificate: it opens the encryption and reads along, as many a
                                                company's proxy does; without one: 403

It knows the hosts of `routes` and asks no name server, so nothing that it is asked for leaves this machine. What has to
go through it is best given an address that only it knows: names that end in .invalid never exist.
"""

from __future__ import annotations

import base64
import http.client
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HUB, CDN = "hub.invalid", "cdn.invalid"

_OF_ONE_CONNECTION = {"connection", "keep-alive", "proxy-authorization", "proxy-connection", "transfer-encoding"}


@dataclass
class Proxy:
    """How the proxy answers, and what it was asked. Change it while it runs."""

    address: str
    routes: dict[str, str] = field(default_factory=dict)  # host, or host:port where not 80 or 443: address behind it
    demands: tuple[str, str] | None = None  # user and password, without which it answers 407
    status: int | None = None  # with which it answers everything
    certificate: ssl.SSLContext | None = None  # what it shows to those who CONNECT
    requests: list[str] = field(default_factory=list)  # "GET http://hub.invalid/...", "CONNECT hub.invalid:443"
    answers: list[int] = field(default_factory=list)  # the statuses, in the same order

    def refusal(self, authorization: str | None) -> int | None:
        """The status that a request is answered with before it goes anywhere."""
        if self.demands is not None:
            token = base64.b64encode(":".join(self.demands).encode()).decode()
            if authorization != f"Basic {token}":
                return 407
        return self.status


@contextmanager
def running(**how: object) -> Iterator[Proxy]:
    """A proxy that answers while the block runs; `how` are fields of Proxy."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        inside = ""  # of the encryption: the address that CONNECT named

        def do_HEAD(self) -> None:
            self.forward()

        def do_GET(self) -> None:
            self.forward()

        def do_CONNECT(self) -> None:
            proxy.requests.append(f"CONNECT {self.path}")
            status = proxy.refusal(self.headers["Proxy-Authorization"])
            host = self.path.removesuffix(":443")
            if status is None and (proxy.certificate is None or host not in proxy.routes):
                status = 403
            if status is not None:
                return self.refuse(status)
            proxy.answers.append(200)
            self.send_response(200)
            self.end_headers()
            try:
                assert proxy.certificate is not None
                self.connection = proxy.certificate.wrap_socket(self.connection, server_side=True)
            except OSError:  # the certificate is not believed
                self.close_connection = True
                return None
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
            self.inside = f"https://{host}"
            self.close_connection = False
            return None

        def forward(self) -> None:
            url = self.inside + self.path
            proxy.requests.append(f"{self.command} {url}")
            status = None if self.inside else proxy.refusal(self.headers["Proxy-Authorization"])
            target = urlsplit(url)
            if status is None and target.netloc not in proxy.routes:
                status = 502  # as a name that cannot be resolved
            if status is not None:
                return self.refuse(status)
            behind = http.client.HTTPConnection(urlsplit(proxy.routes[target.netloc]).netloc)
            try:
                mine = set() if self.inside else _OF_ONE_CONNECTION  # what came encrypted is not for the proxy
                headers = {name: value for name, value in self.headers.items() if name.lower() not in mine}
                behind.request(self.command, f"{target.path}?{target.query}".rstrip("?"), headers=headers)
                self.pass_on(behind.getresponse())
            finally:
                behind.close()
            return None

        def pass_on(self, response: http.client.HTTPResponse) -> None:
            proxy.answers.append(response.status)
            self.send_response_only(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _OF_ONE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Connection", "close")  # which is how what is cut off behind it stays cut off
            self.end_headers()
            self.close_connection = True
            while piece := response.read1(1 << 16):
                self.wfile.write(piece)

        def refuse(self, status: int) -> None:
            proxy.answers.append(status)
            self.send_response(status)
            if status == 407:
                self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True

        def finish(self) -> None:
            super().finish()
            self.connection.close()  # not the server's own socket where it was wrapped

        def log_message(self, format: str, *args: object) -> None:
            """Requests are recorded, not printed."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def server_bind(self) -> None:
            """Without the question to name servers what 127.0.0.1 is called."""
            socketserver.TCPServer.server_bind(self)
            self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

        def handle_error(self, request: object, client_address: object) -> None:
            """Someone hung up, which is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}", **how)  # type: ignore[arg-type]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def write_certificate(folder: Path) -> Path:
    """A certificate for HUB and CDN that signs itself, good for a day, with its key beside it. Needs `openssl`."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={HUB}",
         "-addext", f"subjectAltName=DNS:{HUB},DNS:{CDN}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


def showing(certificate: Path) -> ssl.SSLContext:
    """What a server needs to show this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context
