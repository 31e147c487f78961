"""The public port answers by itself, and its answers are for machines."""

import json
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from prometheus_client import CollectorRegistry, Counter

from agent.adapters import http
from agent.adapters.health import Health, HealthBoard
from agent.adapters.http import Guard, PublicServer
from agent.contract.errors import AgentError


@pytest.fixture
def board() -> HealthBoard:
    return HealthBoard(60.0)


@pytest.fixture
def server(board: HealthBoard) -> Iterator[PublicServer]:
    registry = CollectorRegistry()
    Counter("pagewarden_test_total", "A counter.", registry=registry).inc(42)
    public = PublicServer(("127.0.0.1", 0), registry, board)
    yield public
    public.close()


def get(server: PublicServer, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_metrics_are_the_registry_s(server: PublicServer) -> None:
    status, page = get(server, "/metrics")
    assert status == 200
    assert "pagewarden_test_total 42.0" in page


def test_an_agent_that_is_well_says_200(server: PublicServer, board: HealthBoard) -> None:
    board.renew(Health())
    status, page = get(server, "/healthz")
    assert (status, json.loads(page)) == (200, {"healthy": True, "ailments": []})


def test_an_agent_that_ails_says_503_and_why(server: PublicServer, board: HealthBoard) -> None:
    board.renew(Health(("the broker is away",)))
    status, page = get(server, "/healthz")
    assert (status, json.loads(page)["ailments"]) == (503, ["the broker is away"])


def test_the_front_page_is_the_agent_s_own(server: PublicServer) -> None:
    assert "ailing: it begins" in get(server, "/")[1]
    server.show(lambda: "<p>a page</p>")
    assert get(server, "/") == (200, "<p>a page</p>")


def test_a_loop_that_does_not_answer_leaves_the_page_with_what_ails_the_agent(
    server: PublicServer, board: HealthBoard
) -> None:
    def late() -> str:
        raise TimeoutError

    server.show(late)
    board.renew(Health(("the broker is <away>",)))
    status, page = get(server, "/")
    assert (status, "ailing: the broker is &lt;away&gt;" in page) == (200, True)


def test_another_page_is_404(server: PublicServer) -> None:
    assert get(server, "/secrets")[0] == 404


def test_a_port_in_use_is_one_line_with_the_key_and_the_fix(server: PublicServer) -> None:
    with pytest.raises(AgentError, match=rf"metrics\.listen: .*:{server.port}: .*another address"):
        PublicServer(("127.0.0.1", server.port), CollectorRegistry(), HealthBoard())


def test_clients_that_say_nothing_do_not_keep_others_out_for_long(
    server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert http._Handler.timeout == http.REQUEST_SECONDS_MAX
    monkeypatch.setattr(http._Handler, "timeout", 0.2)
    address = ("127.0.0.1", server.port)
    silent = [socket.create_connection(address) for _ in range(http.REQUESTS_MAX)]
    for connection in silent:
        assert connection.recv(1) == b"", "hung up on"
        connection.close()
    assert get(server, "/")[0] == 200


def test_one_request_too_many_at_once_is_hung_up_on(
    server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = ("127.0.0.1", server.port)
    waiting = [socket.create_connection(address) for _ in range(http.REQUESTS_MAX)]
    with socket.create_connection(address, timeout=2.0) as one_more:
        assert one_more.recv(1) == b""
    for connection in waiting:
        connection.close()


def test_a_closed_server_has_given_its_port_back(board: HealthBoard) -> None:
    first = PublicServer(("127.0.0.1", 0), CollectorRegistry(), board)
    port = first.port
    first.close()
    PublicServer(("127.0.0.1", port), CollectorRegistry(), board).close()


def test_it_closes_although_nobody_can_connect_to_it(
    board: HealthBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address may be gone from the host, or this process out of descriptors."""

    def unreachable(*_: object) -> None:
        raise OSError("no route")

    public = PublicServer(("127.0.0.1", 0), CollectorRegistry(), board)
    monkeypatch.setattr("socket.create_connection", unreachable)
    closing = threading.Thread(target=public.close, daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


@pytest.fixture
def guarded(board: HealthBoard) -> Iterator[PublicServer]:
    guard = Guard(token="open sesame")
    public = PublicServer(("127.0.0.1", 0), CollectorRegistry(), board, guard)
    yield public
    public.close()


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/", "/secrets"])
def test_without_the_token_there_is_nothing_to_see(guarded: PublicServer, path: str) -> None:
    status, page = get(guarded, path)
    assert (status, "metrics.token_file" in page) == (401, True)


@pytest.mark.parametrize("given", ["Bearer open", "Bearer", "open sesame", "Basic open sesame"])
def test_another_token_is_none(guarded: PublicServer, given: str) -> None:
    assert get(guarded, "/metrics", Authorization=given)[0] == 401


def test_whoever_bears_the_token_is_let_in(guarded: PublicServer) -> None:
    assert get(guarded, "/metrics", Authorization="Bearer open sesame")[0] == 200


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    """A certificate of our own for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    guard = Guard(folder / "cert.pem", folder / "key.pem")
    options = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=me"
    )
    files = ("-keyout", str(guard.key_file), "-out", str(guard.cert_file))
    names = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(("openssl", *options.split(), *names, *files), check=True, capture_output=True)
    return guard


@pytest.fixture
def encrypted(board: HealthBoard, certificate: Guard) -> Iterator[PublicServer]:
    public = PublicServer(("127.0.0.1", 0), CollectorRegistry(), board, certificate)
    yield public
    public.close()


def https(server: PublicServer, certificate: Guard) -> int:
    context = ssl.create_default_context(cafile=str(certificate.cert_file))
    url = f"https://127.0.0.1:{server.port}/healthz"
    with urllib.request.urlopen(url, timeout=5, context=context) as reply:
        return int(reply.status)


def test_with_a_certificate_it_speaks_https(encrypted: PublicServer, certificate: Guard) -> None:
    assert https(encrypted, certificate) == 200


def test_whoever_does_not_shake_hands_keeps_nobody_waiting(
    encrypted: PublicServer, certificate: Guard
) -> None:
    with socket.create_connection(("127.0.0.1", encrypted.port)) as silent:
        assert https(encrypted, certificate) == 200
        assert silent.fileno() >= 0


def test_a_certificate_that_is_none_is_one_line_with_both_keys(
    board: HealthBoard, tmp_path: Path
) -> None:
    guard = Guard(tmp_path / "no.pem", tmp_path / "no.key")
    with pytest.raises(AgentError, match=r"metrics\.cert_file: .*metrics\.key_file .*No such file"):
        PublicServer(("127.0.0.1", 0), CollectorRegistry(), board, guard)


def test_a_moment_without_threads_takes_no_slot_for_good(
    server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(http.REQUESTS_MAX):
            with pytest.raises(OSError, match=r"Remote end closed|reset"):
                get(server, "/healthz")
    assert get(server, "/metrics")[0] == 200
