"""What a run of the lab showed, as a page for people: `docs/xen-measured.md`. Pure.

It is read out of the run's own log, so that it can say nothing that the run did not.
"""

import re
from collections.abc import Iterable, Sequence

from docs.markdown import as_table

_WORDS = re.compile(r" ok {5} (real|emulated): (.+?): ([A-Za-z]+ .*)")
_PAGES = re.compile(r" ok {5} (.+) (0x[0-9a-f]+) is (\w+); Xen's word: (.+)")
_VERSION = re.compile(r"(Xen \S+) is up")

_HEAD = """\
# Measured on a real Xen

Written by `make test-xen ARGS="--page docs/xen-measured.md"` from one run: {version}, a PV dom0,
under QEMU without hardware help, so that times say little.

## The page-offline call

Errno and raw words of each case's calls, in turn; an answer that came before is not repeated.

"""
_ERRORS = """
## What became of pages with errors

From the machine's banks by way of Xen, `/dev/mcelog`, bridge and broker to the agent. Those of a
PVH guest came by the broker alone, as Xen reads no banks of the processor that such a guest needs
here, and so did those under systemd.

"""
_GUEST = """
## What the guest noticed

"""


def page(log: Sequence[str]) -> str:
    """The page of a run; `log` is every line of it, as it was told."""
    version = next(found[1] for line in log if (found := _VERSION.search(line)))
    lines = (
        *_HEAD.format(version=version).splitlines(),
        as_table(("page", "the real Xen answers", "the emulated one"), _words(log)),
        *_ERRORS.splitlines(),
        as_table(("page", "its case is", "Xen's word then"), _pages(log)),
        *_GUEST.splitlines(),
        *(f"- {line}" for line in _heartbeats(log)),
    )
    return "\n".join((*lines, ""))


def _words(log: Iterable[str]) -> list[tuple[str, str, str]]:
    said: dict[str, dict[str, str]] = {}
    for line in log:
        if found := _WORDS.search(line):
            said.setdefault(found[2], {})[found[1]] = " ".join(found[3].split())
    return [
        (title, _code(each["real"]), _same(each["real"], each.get("emulated", "was not asked")))
        for title, each in said.items()
        if "real" in each
    ]


def _same(real: str, emulated: str) -> str:
    return "the same" if real == emulated else _code(emulated)


def _pages(log: Iterable[str]) -> list[tuple[str, str, str]]:
    found = (_PAGES.search(line) for line in log)
    return [(f"{each[1]} {each[2]}", each[3], _code(each[4])) for each in found if each]


def _heartbeats(log: Iterable[str]) -> list[str]:
    return [line[16:].strip() for line in log if "heartbeat" in line or "the same, agent" in line]


def _code(words: str) -> str:
    """Answers are divided by bars, which would divide a table too."""
    return ", then ".join(f"`{' '.join(part.split())}`" for part in words.split("|"))
