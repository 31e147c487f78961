"""A host that answers as real Xen 4.17, asked anything in any order: word for word as predicted.

When it goes down, another one is started in its place.
"""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import rule

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import Errno, SysctlCommand, SysctlReply, SysctlRequest
from agent.contract.toolstack import DomainState
from emulator.xen.defects import XEN_4_17, HostDown
from emulator.xen.pageops import Answer
from emulator.xen.sysctl import Caller, PageOfflineOp
from tests.property.host_machine.rules import CALLS, MFNS, OF_NOTE, HostMachine
from tests.property.host_machine.small import FRAMES
from tests.property.host_machine.words import FILLER, Page, Said, offlined, onlined, queried
from tests.support.effort import thorough

LENGTHS = st.integers(0, 24)
OFFLINE, ONLINE, QUERY = SysctlCommand


class HostAsXen417(HostMachine):
    defects = XEN_4_17

    def boot(self) -> None:
        super().boot()
        self.op = PageOfflineOp(self.host)

    @rule(mfns=CALLS)
    def offline_pages(self, mfns: list[int]) -> None:
        for mfn in mfns:
            self.ask(OFFLINE, mfn, mfn)

    @rule(first=MFNS, length=LENGTHS)
    def offline_range(self, first: int, length: int) -> None:
        self.ask(OFFLINE, first, first + length)

    @rule(mfns=CALLS)
    def online_pages(self, mfns: list[int]) -> None:
        for mfn in mfns:
            self.ask(ONLINE, mfn, mfn)

    @rule(first=MFNS, length=LENGTHS)
    def online_range(self, first: int, length: int) -> None:
        self.ask(ONLINE, first, first + length)

    @rule()
    def bring_all_back(self) -> None:
        for mfn in self.host.offlined():
            if not self.host.table.is_broken(mfn):
                self.ask(ONLINE, mfn, mfn)

    @rule(first=MFNS, length=LENGTHS)
    def query_range(self, first: int, length: int) -> None:
        before = self.marked()
        self.ask(QUERY, first, first + length)
        assert self.marked() == before

    @rule(nth=OF_NOTE, cmd=st.sampled_from(SysctlCommand))
    def ask_about_one_of_note(self, nth: int, cmd: SysctlCommand) -> None:
        mfn = self.nth_of_note(nth)
        self.ask(cmd, mfn, mfn)

    @rule(nth=OF_NOTE)
    def uncorrected_error_in_one_of_note(self, nth: int) -> None:
        self.uncorrected_error(self.nth_of_note(nth))

    @rule(first=MFNS, last=MFNS)
    def ask_for_what_is_no_range(self, first: int, last: int) -> None:
        if last < first:
            reply = self.op.call(SysctlRequest(cmd=OFFLINE, start=first, end=last))
            assert reply == SysctlReply(ret=-1, errno=Errno.EINVAL)

    @rule(mfn=MFNS, cmd=st.sampled_from([0, 4, 77]))
    def give_no_command(self, mfn: int, cmd: int) -> None:
        reply = self.op.call(SysctlRequest(cmd=cmd, start=mfn, end=mfn))
        assert isinstance(reply, SysctlReply)
        assert (reply.errno, reply.words) == (Errno.EINVAL, (FILLER,))

    @rule(mfn=MFNS, cmd=st.sampled_from(SysctlCommand))
    def ask_without_privilege(self, mfn: int, cmd: SysctlCommand) -> None:
        ask = SysctlRequest(cmd=cmd, start=mfn, end=mfn)
        reply = self.op.call(ask, Caller(is_privileged=False))
        assert reply == SysctlReply(ret=-1, errno=Errno.EPERM)

    @rule(mfn=MFNS)
    def uncorrected_error(self, mfn: int) -> None:
        """The machine-check handler asks for the page."""
        self.note_broken(mfn)
        said = offlined(self.page(mfn), as_broken=True)
        answer = self.op.pages.offline(Mfn(mfn), cpu=1, broken=True)
        self.note(OFFLINE, mfn, said)
        if said.ends_host:
            assert isinstance(answer, HostDown)
            self.boot()
        else:
            assert answer == Answer(said.word, said.errno)

    # How it is asked, and what is expected.

    def take_out(self, mfns: Sequence[int]) -> None:
        for mfn in mfns:
            if not self.page(mfn).is_broken:
                self.ask(OFFLINE, mfn, mfn)

    def ask(self, cmd: SysctlCommand, first: int, last: int) -> None:
        """A call, compared word for word with what is predicted for it."""
        said = self.predicted(cmd, range(first, last + 1))
        reply = self.op.call(SysctlRequest(cmd=cmd, start=first, end=last))
        if said and said[-1].ends_host:
            assert isinstance(reply, HostDown)
            self.boot()
            return
        words = [FILLER if one.word is None else one.word for one in said]
        words += [FILLER] * (last + 1 - first - len(said))
        assert isinstance(reply, SysctlReply), reply
        assert list(reply.words) == words
        assert (reply.ret, reply.errno) == (-1 if said[-1].errno else 0, said[-1].errno)
        for mfn, one in zip(range(first, last + 1), said, strict=False):
            self.note(cmd, mfn, one)

    def predicted(self, cmd: SysctlCommand, mfns: range) -> list[Said]:
        """Page by page, until one ends the walk."""
        self.ledger.update(self.host)
        judge = {OFFLINE: offlined, ONLINE: onlined, QUERY: queried}[cmd]
        said: list[Said] = []
        for mfn in mfns:
            said.append(judge(self.page(mfn)))
            if said[-1].errno is not None or said[-1].ends_host:
                break
        return said

    def page(self, mfn: int) -> Page:
        table, kind = self.host.table, self.ledger.kind_of(mfn)
        if mfn >= FRAMES:
            return Page(kind, 0, None, is_broken=False)
        owner, state = int(self.ledger.owners[mfn]), table.state_of(Mfn(mfn))
        return Page(kind, owner, state, table.is_broken(Mfn(mfn)), table.reads_as_owned(Mfn(mfn)))

    def note(self, cmd: SysctlCommand, mfn: int, said: Said) -> None:
        """What has come of one page of a call."""
        if said.errno is not None:
            return
        if said.crashes in self.host.domains:
            self.states[DomId(said.crashes)] = DomainState.CRASHED
        if cmd is OFFLINE:
            self.taken_out.add(mfn)
        if cmd is ONLINE and said.word:
            self.taken_out.discard(mfn)


TestHostAsXen417 = HostAsXen417.TestCase
TestHostAsXen417.settings = thorough()
