"""The page-offline call's cases, for the emulated Xen and for the real one alike.

A case names the kind of its frames, not the frames: each host looks for frames of that kind on its
own memory map. The words are those that a real Xen 4.17.7 answered; a host that answers otherwise
fails, unless `EXCEPTIONS` gives the reason. Only the standard library is imported here, for dom0
has this file too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

OFFLINE, ONLINE, QUERY = 1, 2, 3
FILLER = 0x01010101  # what Xen presets every word with
ALIAS = 1 << 32  # frame numbers are cut to 32 bits


class Answer(NamedTuple):
    """`words` is empty where the caller's buffer was not touched."""

    errno: str
    words: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.errno or 'ok':6} {' '.join(f'{word:08x}' for word in self.words) or '-'}"


class Step(NamedTuple):
    """A call on the frames from `first` to `last`, counted from the case's frame."""

    command: int
    answer: Answer
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    title: str
    kind: str
    steps: tuple[Step, ...]


Call = Callable[[int, int, int], Answer]
Steps = tuple[Step, ...]


def answers(case: Case, frame: int, call: Call) -> tuple[Answer, ...]:
    """What `call` says when the case is done with the frames from `frame` on."""
    return tuple(call(step.command, frame + step.first, frame + step.last) for step in case.steps)


def expected(case: Case) -> tuple[Answer, ...]:
    return tuple(step.answer for step in case.steps)


def one(command: int, word: int, errno: str = "") -> Step:
    return Step(command, Answer(errno, (word,)))


def _nine(asked: tuple[Step, Step, Step], marked: Step, back: tuple[Step, Step]) -> Steps:
    """Query, offline and query twice, online and query twice. `asked`: before, marked, after."""
    before, then, after = asked
    return (before, marked, then, marked, then, back[0], after, back[1], after)


def _in_use(word: int) -> Steps:
    online = one(QUERY, 0)
    back = (one(ONLINE, 2), one(ONLINE, 0))
    return _nine((online, one(QUERY, 8), online), one(OFFLINE, word), back)


def _free() -> Steps:
    online = one(QUERY, 0)
    back = (one(ONLINE, 2), one(ONLINE, 0))
    return _nine((online, one(QUERY, 2), online), one(OFFLINE, 2), back)


def _image() -> Steps:
    online, back = one(QUERY, 0), one(ONLINE, 0)
    return _nine((online, online, online), one(OFFLINE, 0x7FF20108, "EPERM"), (back, back))


def _reserved() -> Steps:
    unknown, back = one(QUERY, FILLER, "EINVAL"), one(ONLINE, 0)
    return _nine((unknown,) * 3, one(OFFLINE, 0x808, "EINVAL"), (back, back))


def _beyond() -> Steps:
    query, offline, online = (
        one(command, FILLER, "EINVAL") for command in (QUERY, OFFLINE, ONLINE)
    )
    return _nine((query,) * 3, offline, (online, online))


def _range(last: int, *steps: tuple[int, str, tuple[int, ...]]) -> Steps:
    return tuple(Step(command, Answer(errno, words), 0, last) for command, errno, words in steps)


GUEST = 0x11004  # of domain 1, the first that is started

CASES = (
    Case("a free page", "free", _free()),
    Case("a page of dom0", "dom0", _in_use(0x1004)),
    Case("a page of a PV guest", "guest", _in_use(GUEST)),
    Case("a PV guest's page table, L1", "guest L1", _in_use(GUEST)),
    Case("a PV guest's page table, L2", "guest L2", _in_use(GUEST)),
    Case("a PV guest's page table, L3", "guest L3", _in_use(GUEST)),
    Case("a PV guest's page table, L4", "guest L4", _in_use(GUEST)),
    Case("a PV guest's page that dom0 maps", "guest ring", _in_use(GUEST)),
    Case("a page of the Xen heap", "xen heap", _in_use(0x7FF20104)),
    Case("a page of the M2P table", "m2p", _in_use(0x7FF21004)),
    Case("low memory", "low", _in_use(0x7FF11004)),
    Case("a page without an owner", "owner-less", _in_use(0x7FF40408)),
    Case("a page of Xen's image", "xen image", _image()),
    Case("a frame that is no RAM", "reserved", _reserved()),
    Case("a frame that Xen knows nothing of", "beyond", _beyond()),
    Case(
        "four free pages",
        "four free",
        _range(
            3,
            (OFFLINE, "", (2, 2, 2, 2)),
            (QUERY, "", (2, 2, 2, 2)),
            (ONLINE, "", (2, 2, 2, 2)),
            (QUERY, "", (0, 0, 0, 0)),
        ),
    ),
    Case(
        "two free pages and two of dom0",
        "free then dom0",
        _range(
            3,
            (OFFLINE, "", (2, 2, 0x1004, 0x1004)),
            (QUERY, "", (2, 2, 8, 8)),
            (ONLINE, "", (2, 2, 2, 2)),
            (QUERY, "", (0, 0, 0, 0)),
        ),
    ),
    Case(
        "a page of dom0 and three of Xen's image",
        "dom0 then image",
        _range(
            3,
            (OFFLINE, "EPERM", (0x1004, 0x7FF20108, FILLER, FILLER)),
            (QUERY, "", (8, 0, 0, 0)),
            (ONLINE, "", (2, 0, 0, 0)),
        ),
    ),
    Case(
        "low memory and no RAM",
        "low then reserved",
        _range(
            3,
            (OFFLINE, "EINVAL", (0x7FF11004, 0x7FF11004, 0x808, FILLER)),
            (QUERY, "EINVAL", (8, 8, FILLER, FILLER)),
            (ONLINE, "", (2, 2, 0, 0)),
        ),
    ),
    Case(
        "the last pages and beyond",
        "last",
        _range(
            6,
            (OFFLINE, "EINVAL", (*[0x7FF40408] * 3, *[FILLER] * 4)),
            (QUERY, "EINVAL", (8, 8, 8, *[FILLER] * 4)),
            (ONLINE, "EINVAL", (2, 2, 2, *[FILLER] * 4)),
            (QUERY, "EINVAL", (0, 0, 0, *[FILLER] * 4)),
        ),
    ),
    Case("an end before its start", "free", (Step(OFFLINE, Answer("EINVAL", ()), 1, 0),)),
    Case(
        "a frame number of 33 bits",
        "free",
        (
            Step(OFFLINE, Answer("", (2,)), ALIAS, ALIAS),
            one(QUERY, 2),
            one(ONLINE, 2),
        ),
    ),
)

# On a processor with nested paging, and the one guest of that boot.
PVH_CASES = (
    Case("a page of a PVH guest", "pvh", _in_use(GUEST)),
    Case("a PVH guest's first page", "pvh first", _in_use(GUEST)),
)

# The host's name and the case's title, and why it answers otherwise.
EXCEPTIONS: Mapping[tuple[str, str], str] = {}
