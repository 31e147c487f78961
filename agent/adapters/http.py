"""The public port: `/metrics` for Prometheus, `/healthz` for whoever restarts what is not well, and
a page for people.

It has threads of its own. Served from the loop, a scrape would stall the work, and a stalled loop
could not be seen from outside. Where it is to be kept from others there is TLS, and a token that
whoever asks must bear (`Authorization: Bearer …`, as Prometheus sends it).
"""

import hmac
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app  # pyright: ignore[reportUnknownVariableType] # half typed

from agent.adapters.health import HealthBoard
from agent.adapters.page import page_without
from agent.contract.errors import AgentError

if TYPE_CHECKING:  # a module that only type checkers have
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Request = socket.socket | tuple[bytes, socket.socket]  # the base's word for it; TCP is the former

REQUESTS_MAX = 16  # at once; one more is hung up on
SLEEP_SECONDS = 5.0  # at most, while nobody comes
REQUEST_SECONDS_MAX = 5.0  # a client that says nothing for so long is hung up on


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may ask, and who may listen in: a certificate with its key, a token; or nothing."""

    cert_file: Path | None = None
    key_file: Path | None = None
    token: str | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """None for plain HTTP.

        Raises:
            AgentError: if the files are not a certificate and its key.
        """
        if self.cert_file is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:
            raise AgentError(
                f"metrics.cert_file: {self.cert_file} with metrics.key_file cannot be used: "
                f"{error.strerror or error}; give a PEM certificate and the key that is its own"
            ) from None
        return context


class PublicServer:
    """Answers from `open` to `close`.

    Raises:
        AgentError: if the address cannot be had, or not with that guard.
    """

    def __init__(
        self,
        address: tuple[str, int],
        registry: CollectorRegistry,
        board: HealthBoard,
        guard: Guard | None = None,
    ) -> None:
        guard = guard or Guard()
        tls = guard.tls
        try:
            self._server = _Server(address, _Handler)
        except OSError as error:
            host, port = address
            raise AgentError(
                f"metrics.listen: cannot listen on {host}:{port}: {error.strerror}; "
                "end the program that has it, or choose another address"
            ) from None
        if tls is not None:
            # The thread of the request shakes hands: a client that does not keeps nobody waiting.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._app = _App(registry, board, guard.token)
        self._server.set_app(self._app)
        serve = partial(self._server.serve_forever, SLEEP_SECONDS)
        threading.Thread(target=serve, name="public port", daemon=True).start()

    @property
    def port(self) -> int:
        """The port it got, where 0 was asked for."""
        return self._server.server_port

    def show(self, front: Callable[[], str]) -> None:
        """From now on the page is what `front` returns, which is called in a thread of the request;
        a `TimeoutError` of it means that there is nothing to be told now.
        """
        self._app.front = front

    def close(self) -> None:
        """Return once nothing answers any more."""
        with suppress(
            OSError
        ):  # it sleeps until somebody comes; this wakes it where there is Linux
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()


class _App:
    """Three pages, for whoever bears the token if there is one."""

    def __init__(self, registry: CollectorRegistry, board: HealthBoard, token: str | None) -> None:
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        self._board = board
        self.front: Callable[[], str] = self._nothing_yet
        self._wanted = None if token is None else f"Bearer {token}".encode()

    def __call__(self, environ: "WSGIEnvironment", respond: "StartResponse") -> Iterable[bytes]:
        if not self._lets_in(environ):
            return _refuse(respond)
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, respond)
            case "/healthz":
                return self._health(respond)
            case "/":
                return _text(respond, HTTPStatus.OK, self._page(), "text/html")
            case _:
                return _text(respond, HTTPStatus.NOT_FOUND, "there are /, /metrics and /healthz\n")

    def _nothing_yet(self) -> str:
        return page_without(self._board.read().ailments or ("it begins",))

    def _page(self) -> str:
        try:
            return self.front()
        except TimeoutError:
            return page_without(self._board.read().ailments or ("it does not come to answer",))

    def _lets_in(self, environ: "WSGIEnvironment") -> bool:
        given = str(environ.get("HTTP_AUTHORIZATION", "")).encode("latin-1", errors="replace")
        # Compared in equal time, so that nobody finds the token letter by letter.
        return self._wanted is None or hmac.compare_digest(given, self._wanted)

    def _health(self, respond: "StartResponse") -> list[bytes]:
        health = self._board.read()
        status = HTTPStatus.OK if health.healthy else HTTPStatus.SERVICE_UNAVAILABLE
        body = json.dumps({"healthy": health.healthy, "ailments": health.ailments})
        return _text(respond, status, body + "\n", "application/json")


def _refuse(respond: "StartResponse") -> list[bytes]:
    status = HTTPStatus.UNAUTHORIZED
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("WWW-Authenticate", "Bearer")]
    respond(f"{status.value} {status.phrase}", headers)
    return [b"send the header Authorization: Bearer, with the token of metrics.token_file\n"]


def _text(
    respond: "StartResponse", status: HTTPStatus, body: str, kind: str = "text/plain"
) -> list[bytes]:
    respond(f"{status.value} {status.phrase}", [("Content-Type", f"{kind}; charset=utf-8")])
    return [body.encode()]


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS_MAX

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name for it
        """Say nothing: a scrape is no event."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread a request, and no more than `REQUESTS_MAX` of them."""

    daemon_threads = True
    request_queue_size = REQUESTS_MAX  # the base's 5 makes the sixth of a moment wait a second

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self._slots = threading.BoundedSemaphore(REQUESTS_MAX)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As the base does, without asking DNS for our own name, which can take a minute."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Request, client_address: object) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread, which would have given it back
            self._slots.release()
            raise

    def process_request_thread(self, request: Request, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Request, client_address: object) -> None:
        """Say nothing: whoever hung up or fell silent is no trouble of ours."""
