"""The public port answers by itself, and its answers are for machines."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest
from prometheus_client import CollectorRegistry, Counter

from agent.adapters import http
from agent.adapters.health import Health, HealthBoard
from agent.adapters.http import PublicServer
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


def get(server: PublicServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as reply:
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


def test_the_front_page_says_what_there_is(server: PublicServer) -> None:
    status, page = get(server, "/")
    assert (status, page.count("\n")) == (200, 2)
    assert "/metrics" in page
    assert "/healthz" in page


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
