"""A real Chromium without a window, spoken to in its own protocol (Chrome DevTools)."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_SECONDS = 60.0

OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
)


@dataclass
class Tab:
    """One page. `events` are what the browser told by itself."""

    socket: aiohttp.ClientWebSocketResponse
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def do(self, method: str, **parameters: object) -> dict[str, Any]:
        """What the browser answers to a command."""
        number = next(self._numbers)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                told = await self.socket.receive_json()
                if told.get("id") == number:
                    assert "error" not in told, told
                    answer: dict[str, Any] = told["result"]
                    return answer
                self.events.append(told)

    async def said(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page answers
        """The value of a piece of script; of a promise, what it comes to."""
        found = await self.do(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def go(self, url: str) -> None:
        """Return once the page is there."""
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            await self.do(f"{domain}.enable")
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && !!document.querySelector('main')")

    async def until(self, expression: str) -> None:
        """A page that is just being loaded has nothing of what is asked for."""
        tried = f"(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.said(tried):
                await asyncio.sleep(0.1)

    def told(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]


@asynccontextmanager
async def tab(folder: Path, *options: str) -> AsyncGenerator[Tab]:
    """A fresh browser with one empty page; all that it keeps is in `folder`."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM or "chromium",
        *OPTIONS,
        *options,
        f"--user-data-dir={folder}",
        "about:blank",
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            port = await _port(folder / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            address = await _page_address(session, port)
            async with session.ws_connect(address, max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.kill()
        await process.wait()


async def _port(path: Path) -> int:
    """Chromium writes it down as soon as it listens."""
    while not (written := _read(path)):
        await asyncio.sleep(0.05)
    return int(written.split()[0])


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def _page_address(session: aiohttp.ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
        pages = await reply.json()
    return str(next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"])
