"""Questions to the two that know: the agent what it says, the emulated host what is so."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
from aiohttp import web
from pydantic import BaseModel

from agent.contract.hypercall import PAGES_MAX, PagesRequest
from agent.contract.status import CasesView, StatusView, View
from emulator.demo.judge import Evidence
from emulator.edges.truth import ControlCall, FramesTruth, FrameTruth, Nothing, Truth
from emulator.errors import EmulatorError

Reply = TypeVar("Reply", bound=BaseModel)
DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Asking:
    agent: Path
    control: Path

    async def evidence(self) -> Evidence:
        """Everything at about one moment: first what is so, then what is said of it."""
        truth = await ask(self.control, ControlCall.TRUTH, Truth)
        status = await ask(self.agent, View.STATUS, StatusView)
        cases = (await ask(self.agent, View.CASES, CasesView)).cases
        frames = await self._frames([case.mfn for case in cases])
        return Evidence(truth, frames, status, cases)

    async def _frames(self, mfns: list[int]) -> tuple[FrameTruth, ...]:
        found: list[FrameTruth] = []
        for at in range(0, len(mfns), PAGES_MAX):
            request = PagesRequest(mfns=tuple(mfns[at : at + PAGES_MAX]))
            found += (await ask(self.control, ControlCall.PAGES, FramesTruth, request)).pages
        return tuple(found)

    async def quiesce(self) -> None:
        """Have the world stand still: no new errors, no guest at work."""
        await ask(self.control, ControlCall.QUIESCE, Truth, Nothing())


async def ask(path: Path, call: str, model: type[Reply], request: BaseModel | None = None) -> Reply:
    """The answer at the Unix socket `path` to a GET, or to a POST of `request`.

    Raises:
        EmulatorError: if nobody answers there, or not as agreed; what is refused, as it was told.
    """
    method, body = ("GET", None) if request is None else ("POST", request.model_dump_json())
    timeout = aiohttp.ClientTimeout(total=DEADLINE_SECONDS)
    connector = aiohttp.UnixConnector(str(path))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.request(method, f"http://localhost{call}", data=body) as response,
        ):
            if response.status == web.HTTPBadRequest.status_code:
                raise EmulatorError((await response.text()).strip())
            response.raise_for_status()
            return model.model_validate_json(await response.read())
    except aiohttp.ClientConnectorError as error:
        raise EmulatorError(
            f"nobody answers at {path}: {error.os_error.strerror}; "
            "is it where the emulator has its sockets? (--sockets)"
        ) from None
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EmulatorError(f"{path} does not answer {call}: {error!r}") from None
