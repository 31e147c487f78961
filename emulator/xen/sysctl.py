"""`XEN_SYSCTL_page_offline_op`, as Xen 4.17 and its tools' library answer it.

A range is walked upward, both ends included, and the first page with an error ends the walk. What
was done by then stays done, and the words that were not reached keep the filler they were preset
with. So an answer is read from three things at once: the return code, the errno, each word.

It has no atomicity, no scatter list and no privilege but one; that is the 2008 design, in
`offline`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.contract.frames import MFN_MAX, Mfn
from agent.contract.hypercall import Errno, SysctlCommand, SysctlReply, SysctlRequest
from emulator.xen.defects import Down, HostDown
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.pageops import Answer, PageOps
from emulator.xen.words import FILLER

# The words are one allocation of Xen's, and what is too large for that is ENOMEM. Real Xen gives
# more; here it is what a reply can carry.
WORDS_MAX = 1 << 14

Ask = Callable[[Mfn], Answer | HostDown]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: whether from the control domain, and on which physical CPU."""

    is_privileged: bool = True
    cpu: int = 1


TOOL = Caller()


class PageOfflineOp:
    """The call on one host, which it may bring `down`: then nothing is answered any more."""

    def __init__(self, host: Hypervisor) -> None:
        self.down: HostDown | None = None
        self.pages = PageOps(host)
        self.defects = host.defects

    def call(self, ask: SysctlRequest, caller: Caller = TOOL) -> SysctlReply | HostDown:
        if self.down is not None:
            return self.down
        answer = self._answer(ask, caller)
        if isinstance(answer, HostDown):
            self.down = answer
        return answer

    def _answer(self, ask: SysctlRequest, caller: Caller) -> SysctlReply | HostDown:
        if not caller.is_privileged:
            return untouched(Errno.EPERM)
        mfns = self._range(ask)
        if not mfns:
            return untouched(Errno.EINVAL)
        if len(mfns) > MFN_MAX:
            return self._wrapped()
        if len(mfns) > WORDS_MAX:
            return untouched(Errno.ENOMEM)
        return _walk(mfns, self._act(ask.cmd, caller.cpu))

    def _range(self, ask: SysctlRequest) -> range:
        """The frames that are meant; none for what is refused. D9 is here."""
        if ask.end < ask.start:
            return range(0)
        if not self.defects.mfns_are_truncated:
            return range(ask.start, ask.end + 1) if ask.end <= MFN_MAX else range(0)
        return range(ask.start & MFN_MAX, (ask.end & MFN_MAX) + 1)

    def _wrapped(self) -> SysctlReply | HostDown:
        """D10: as many words as fit 32 bits are none, and the first one is written all the same."""
        if not self.defects.whole_range_wraps:
            return untouched(Errno.EINVAL)
        return HostDown(Down.CRASHED, "a page fault in Xen: the count of a range wrapped to 0")

    def _act(self, cmd: int, cpu: int) -> Ask:
        acts: dict[int, Ask] = {
            SysctlCommand.OFFLINE: lambda mfn: self.pages.offline(mfn, cpu),
            SysctlCommand.ONLINE: self.pages.online,
            SysctlCommand.QUERY: self.pages.query,
        }
        return acts.get(cmd, lambda _: Answer(errno=Errno.EINVAL))


def untouched(errno: Errno) -> SysctlReply:
    """Refused before there was any word to write."""
    return SysctlReply(ret=-1, errno=errno)


def _walk(mfns: range, act: Ask) -> SysctlReply | HostDown:
    words = [FILLER] * len(mfns)
    for slot, mfn in enumerate(mfns):
        answer = act(Mfn(mfn))
        if isinstance(answer, HostDown):
            return answer
        if answer.word is not None:
            words[slot] = int(answer.word)
        if answer.errno is not None:
            return SysctlReply(ret=-1, errno=answer.errno, words=tuple(words), buffer_touched=True)
    return SysctlReply(ret=0, words=tuple(words), buffer_touched=True)
