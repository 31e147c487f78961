"""What became of a request: sent once, then watched until nothing of it is left, if so wished.

The agent carries it out by itself; whoever watches may go away and come back. While the agent is
away (restarted, say) the watcher waits for it.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from agent.adapters.client import delete, fetch, send
from agent.contract.errors import AgentError
from agent.contract.requests import Ask, Came, RequestView
from agent.contract.status import View

LOOK_SECONDS = 0.2
LINE_SECONDS = 5.0  # between two lines, where there is no terminal
AWAY_SECONDS_MAX = 120.0  # an agent that is restarted is back by then

Show = Callable[[RequestView], None]


def new_id() -> str:
    return f"r-{uuid4().hex[:12]}"


def carry_out(socket: Path, ask: Ask, *, wait: bool, as_json: bool) -> None:
    """Send `ask`, tell of it, and exit as the commands' help says."""
    view = _to_its_end(
        socket, send(socket, View.REQUESTS, ask, RequestView), wait=wait, as_json=as_json
    )
    raise typer.Exit(1 if wait and view.granted < view.pages else 0)


def call_off(socket: Path, request_id: str, *, wait: bool, as_json: bool) -> None:
    """Have no page more of this request begun, tell of it, and exit."""
    view = delete(socket, f"{View.REQUESTS}/{request_id}", RequestView)
    _to_its_end(socket, view, wait=wait, as_json=as_json)
    raise typer.Exit


def _to_its_end(socket: Path, view: RequestView, *, wait: bool, as_json: bool) -> RequestView:
    """Tell of it, once it is over if so wished; how it is then."""
    if wait:
        with _shown(as_json=as_json) as show:
            view = _followed(socket, view, show)
    if as_json:
        typer.echo(view.model_dump_json())
    else:
        _conclude(view)
    return view


def _followed(socket: Path, view: RequestView, show: Show) -> RequestView:
    """The request when it is over."""
    heard_at = time.monotonic()
    while not view.is_over:
        show(view)
        time.sleep(LOOK_SECONDS)
        try:
            view = fetch(socket, f"{View.REQUESTS}/{view.id}", RequestView)
            heard_at = time.monotonic()
        except AgentError:
            if time.monotonic() - heard_at > AWAY_SECONDS_MAX:
                raise
    show(view)
    return view


@contextmanager
def _shown(*, as_json: bool) -> Generator[Show]:
    """How progress is told: as lines of JSON; as a bar on stderr where that is a terminal; or as a
    line there now and then.
    """
    if as_json:
        yield _json_lines()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Milestones(time.monotonic).show
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[left]:,} left"),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None, left=0, rate=0.0)

        def show(view: RequestView) -> None:
            progress.update(
                task,
                description=view.what,
                total=view.pages,
                completed=view.pages - view.left,
                left=view.left,
                rate=progress.tasks[0].speed or 0.0,
            )

        yield show


@dataclass(slots=True)
class Milestones:
    """A line whenever a tenth more is done, or some seconds have passed: for logs and mails."""

    now: Callable[[], float]
    _told: tuple[float, int] = (float("-inf"), -1)

    def show(self, view: RequestView) -> None:
        tenth = 10 * (view.pages - view.left) // view.pages
        at, before = self._told
        if view.is_over or (tenth == before and self.now() - at < LINE_SECONDS):
            return
        self._told = self.now(), tenth
        done = f"{view.pages - view.left:,} of {view.pages:,} pages"
        typer.echo(f"{view.wish} {view.what}: {done}, {view.left:,} left", err=True)


def _json_lines() -> Show:
    """A line for each change, but for the last one: that ends the command."""
    told: list[RequestView] = []

    def show(view: RequestView) -> None:
        if view not in told and not view.is_over:
            told[:] = [view]
            typer.echo(view.model_dump_json())

    return show


def _conclude(view: RequestView) -> None:
    typer.echo(f"{view.wish} {view.what}: {_so_far(view)}")
    for came in view.came:
        if came.rest is not view.wish.granted:
            typer.echo(f"  {came.pages:,} {_told(came)}")


def _so_far(view: RequestView) -> str:
    if view.is_over:
        return f"{view.granted:,} of {view.pages:,} pages {view.wish.granted}"
    return f"request {view.id} is under way, {view.left:,} of {view.pages:,} pages left"


def _told(came: Came) -> str:
    """`unretirable: the hypervisor itself lives there …`"""
    return ": ".join(filter(None, (came.rest or "", came.text)))
