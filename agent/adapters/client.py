"""The other end of the agent's socket, for the command line: ask once, wait for the answer."""

import socket
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent.contract.codec import one_line
from agent.contract.errors import AgentError, PeerError

Reply = TypeVar("Reply", bound=BaseModel)

DEADLINE_SECONDS = 5.0
REPLY_BYTES_MAX = 64 << 20  # 100,000 cases are some 30 MB

_TOLD = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST})  # with a sentence for people


def fetch(
    path: Path, view: str, model: type[Reply], deadline_seconds: float = DEADLINE_SECONDS
) -> Reply:
    """What the agent at the socket `path` answers to GET `view`.

    Raises:
        AgentError: if no agent answers there, or it knows no such thing.
        PeerError: if its answer cannot be understood.
    """
    return _read(path, model, *_exchange(path, "GET", view, None, deadline_seconds))


def send(
    path: Path,
    view: str,
    body: BaseModel,
    model: type[Reply],
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Reply:
    """What the agent at the socket `path` answers to a POST of `body` to `view`.

    Raises:
        AgentError: if no agent answers there, or it refuses.
        PeerError: if its answer cannot be understood.
    """
    text = body.model_dump_json(exclude_none=True)
    return _read(path, model, *_exchange(path, "POST", view, text, deadline_seconds))


def delete(
    path: Path, view: str, model: type[Reply], deadline_seconds: float = DEADLINE_SECONDS
) -> Reply:
    """What the agent at the socket `path` answers to a DELETE of `view`.

    Raises:
        AgentError: if no agent answers there, or it refuses.
        PeerError: if its answer cannot be understood.
    """
    return _read(path, model, *_exchange(path, "DELETE", view, None, deadline_seconds))


def _read(path: Path, model: type[Reply], status: int, body: bytes) -> Reply:
    if status != HTTPStatus.OK:
        text = body.decode(errors="replace").strip()
        raise AgentError(text if status in _TOLD else f"{path}: {status} {text}")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise PeerError(
            f"{path}: not an answer of this version's agent: {one_line(error)}"
        ) from None


def _exchange(
    path: Path, method: str, view: str, body: str | None, deadline_seconds: float
) -> tuple[int, bytes]:
    """Status and body of the answer."""
    connection = _UnixConnection(path, deadline_seconds)
    try:
        connection.request(method, view, body)
        response = connection.getresponse()
        return response.status, response.read(REPLY_BYTES_MAX)
    except TimeoutError:
        raise AgentError(
            f"the agent at {path} did not answer in {deadline_seconds:g} s: is it stuck?"
        ) from None
    except PermissionError:
        raise AgentError(
            f"{path}: permission denied; ask as the agent's user, or as root"
        ) from None
    except (OSError, HTTPException):
        raise AgentError(
            f"no agent answers at {path}: is it running (`pagewarden agent`), or still waiting "
            "for its hypervisor? /healthz and its log say so"
        ) from None
    finally:
        connection.close()


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, deadline_seconds: float) -> None:
        super().__init__("localhost", timeout=deadline_seconds)
        self._path = path
        self._deadline_seconds = deadline_seconds

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self._deadline_seconds)
        self.sock.connect(str(self._path))
