"""dom0 as this chapter needs it: services that are started and killed, words that are read.

What is asked of dom0 is a shell command; programs of `inside/` answer with one line of JSON behind
a word of their own.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.xen.machine import Machine
from tests.xen.table import Answer
from tests.xen.trouble import LabError

CONSOLE = "/var/log/xen/console/guest-beats.log"
AGENT_LOG = "/var/log/agent.log"
BRIDGE_LOG = "/var/log/bridge.log"
BEATS = "/run/beats"
PVH_BEATS = "/run/pvh-beats"
INSIDE = "/payload/tests/xen/inside"
CONFIG = f"{INSIDE}/agent.toml"
AGENT = f"python3 -m agent agent --config {CONFIG}"
BRIDGE = (
    "python3 -m agent bridge --from mcelog-device --host xen-lab"
    " --broker mqtt://127.0.0.1:1883 --state /var/lib/pagewarden/bridge --metrics 9465 --json"
)


POLL_SECONDS = 2.0  # each look costs dom0 a program


class Beat(NamedTuple):
    """When it arrived, on dom0's clock, and what the guest says: how long it has been up, or how
    far it has counted.
    """

    arrived: float
    told: float


class Dom0:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def text(self, command: str, seconds: float = 60.0) -> str:
        """What it printed.

        Raises:
            LabError: if it fails.
        """
        done = self.machine.console.run(command, seconds)
        if done.code:
            raise LabError(f"in dom0, {command!r} ended with {done.code}: {done.text[-600:]}")
        return done.text

    def lines(self, word: str, path: str) -> list[str]:
        """The lines of a file that have this word; none, and no file, are answers too."""
        return self.machine.console.run(f"grep -s -a -e '{word}' {path}").text.splitlines()

    def told(self, program: str, word: str, *arguments: object) -> Any:  # noqa: ANN401 -- JSON
        """What a program of `inside/` answered."""
        asked = " ".join(map(str, arguments))
        text = self.text(f"python3 -m tests.xen.inside.{program} {asked}", 120.0)
        found = [line for line in text.splitlines() if line.startswith(f"{word} ")]
        return json.loads(found[-1].removeprefix(f"{word} "))

    def words(self, mfns: Iterable[int]) -> dict[int, Answer]:
        """To each page the errno and the raw word of a query."""
        told = self.told("raw", "RAW", *mfns)
        return {int(mfn): Answer(errno, tuple(words)) for mfn, (errno, words) in told.items()}

    def start(self, name: str, command: str) -> None:
        """A service of this name, with a log and its number kept under /run."""
        kept = f"sh -c 'echo $$ >/run/{name}.pid; exec {command}'"
        self.text(f"setsid {kept} >>/var/log/{name}.log 2>&1 </dev/null &")

    def kill(self, name: str) -> None:
        """At once, and with nothing said to it."""
        self.text(f"kill -9 $(cat /run/{name}.pid)")

    def clock(self) -> float:
        return float(self.text("cut -d' ' -f1 /proc/uptime"))

    def beats(self, path: str = BEATS) -> list[Beat]:
        text = self.machine.console.run(f"cat {path}", 120.0).text
        rows = (line.split() for line in text.splitlines())
        return [Beat(float(row[0]), float(row[1])) for row in rows if len(row) == 2]

    def wait(self, done: Callable[[], bool], seconds: float, what: str) -> float:
        """How long it took.

        Raises:
            LabError: if it did not happen in time.
        """
        begun = time.monotonic()
        while not done():
            self.machine.check_alive()
            if time.monotonic() - begun > seconds:
                raise LabError(f"waited {seconds:.0f} s for {what}{self._last_lines()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begun

    def _last_lines(self) -> str:
        return f"; the agent's log ends: {self.machine.console.run(f'tail -n 5 {AGENT_LOG}').text}"
