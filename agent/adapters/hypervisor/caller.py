"""One call: HTTP with JSON over a Unix socket, a deadline, a bound, and a reply that is checked.

What is not an answer is `Unreachable`: nobody there, silence, a 5xx, nonsense. The peer may or may
not have done it, so the caller asks again. A 4xx is an answer: the call itself is wrong.
"""

from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError

from agent.adapters.hypervisor.timing import timed
from agent.contract.codec import one_line
from agent.contract.errors import PeerError, Unreachable
from agent.events import Observer

Reply = TypeVar("Reply", bound=BaseModel)

REPLY_BYTES_MAX = 4 << 20  # 1,024 pages are 130 kB; a list of 10,000 domains about 1 MB


class Caller:
    """Calls to one socket. Made inside the running loop; `close` it there."""

    def __init__(self, path: Path, deadline_seconds: float, observer: Observer) -> None:
        self._path = path
        self._deadline_seconds = deadline_seconds
        self._observe = observer
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(path)),
            timeout=aiohttp.ClientTimeout(total=deadline_seconds),
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, call: str, model: type[Reply], request: BaseModel | None = None) -> Reply:
        """What the peer answers: to a POST of `request`, or to a GET where there is none.

        Raises:
            Unreachable: if that is no answer.
            PeerError: if it is that the call is wrong.
        """
        return await timed(call, self._answer(call, model, request), self._observe)

    async def _answer(self, call: str, model: type[Reply], request: BaseModel | None) -> Reply:
        return self._parsed(call, model, *await self._exchange(call, request))

    async def _exchange(self, call: str, request: BaseModel | None) -> tuple[int, bytes]:
        """Status and body, whatever they are."""
        method = "GET" if request is None else "POST"
        body = None if request is None else request.model_dump_json(exclude_unset=True)
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method, f"http://localhost{call}", data=body, headers=headers
            ) as response:
                return response.status, await self._body(call, response)
        except TimeoutError:
            raise self._unreachable(call, f"no answer in {self._deadline_seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(call, str(error) or type(error).__name__) from None

    async def _body(self, call: str, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > REPLY_BYTES_MAX:
                raise self._unreachable(call, f"a reply of more than {REPLY_BYTES_MAX} bytes")
        return bytes(body)

    def _parsed(self, call: str, model: type[Reply], status: int, body: bytes) -> Reply:
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise PeerError(f"{self._path}: {call}: {status} {_first_line(body)}")
        if status != HTTPStatus.OK:
            raise self._unreachable(call, f"{status} {_first_line(body)}")
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise self._unreachable(call, f"the reply is not one: {one_line(error)}") from None

    def _unreachable(self, call: str, why: str) -> Unreachable:
        return Unreachable(f"{self._path}: {call}: {why}")


def _first_line(body: bytes, limit: int = 200) -> str:
    line, *_ = body.decode(errors="replace").strip().splitlines() or [""]
    return line[:limit]
