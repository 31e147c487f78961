"""What an agent, an operator or a guest may do on any host, with good and with bad arguments.

Each personality adds its own calls about pages. All guests resume by the slow path, as the agent
does it.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.toolstack import (
    DomainState,
    GuestKind,
    Paging,
    ToolCall,
    ToolOutcome,
    ToolReply,
)
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.frametable import FrameState
from emulator.xen.moving import Step, Trip
from emulator.xen.trouble import Trouble
from tests.property.host_machine.small import DEVICES, FRAMES, PEER
from tests.property.host_machine.watched import WatchedHost

NTH = st.integers(0, 9)
OF_NOTE = st.integers(0, 30)
# Mostly where Xen and the guests are, sometimes anywhere, now and then beyond the end.
MFNS = st.one_of(
    st.integers(0, 160),
    st.integers(500, 560),
    st.integers(0, FRAMES - 1),
    st.sampled_from([FRAMES, 1 << 31]),
)
CALLS = st.lists(MFNS, min_size=1, max_size=10)
GFNS = st.sets(st.integers(0, 527), min_size=1, max_size=8)
STEPS = st.sampled_from([step for step in Step if step is not Step.RELEASE])
IMAGES = st.sampled_from(["a", "b"])
NAMES = st.sampled_from(["new", "newer"])
MAPPERS = st.integers(0, 2).map(DomId)

DONE = ToolOutcome.DONE


class HostMachine(WatchedHost):
    """The rules that both personalities have."""

    # A guest and its domain.

    @rule(nth=NTH)
    def suspend(self, nth: int) -> None:
        domain = self.nth(nth)
        if domain is not None and self.toolstack.suspend(domain.domid).outcome is DONE:
            self.states[domain.domid] = DomainState.SUSPENDED

    @rule(nth=NTH)
    def resume(self, nth: int) -> None:
        domain = self.nth(nth)
        if domain is not None and self.toolstack.resume(domain.domid).outcome is DONE:
            self.states.pop(domain.domid, None)

    @rule(domid=st.sampled_from([0, 77]))
    def ask_about_nobody(self, domid: int) -> None:
        asked = (self.toolstack.suspend, self.toolstack.resume, self.toolstack.migrate)
        assert {call(domid).outcome for call in asked} == {ToolOutcome.NO_SUCH_DOMAIN}

    @rule(nth=NTH)
    def crash(self, nth: int) -> None:
        domain = self.nth(nth)
        if domain is not None:
            self.host.crash(domain.domid)
            self.states[domain.domid] = DomainState.CRASHED

    @rule(name=NAMES, kind=st.sampled_from(GuestKind), pages=st.integers(1, 60))
    def create(self, name: str, kind: GuestKind, pages: int) -> None:
        self.toolstack.create(name, kind, pages)

    @rule(nth=NTH)
    def destroy(self, nth: int) -> None:
        domain = self.nth(nth)
        if domain is not None:
            self.left(domain, self.toolstack.destroy(domain.domid))

    @rule(nth=NTH)
    def reboot(self, nth: int) -> None:
        """It has the devices that it had, or there was no room and nothing has changed."""
        domain = self.nth(nth)
        if domain is None:
            return
        reply, had = self.toolstack.reboot(domain.domid), domain.devices
        self.left(domain, reply)
        if reply.outcome is DONE and reply.domid is not None:
            self.attached |= dict.fromkeys(had, DomId(reply.domid))
        else:
            assert domain.domid in self.host.domains

    @rule(nth=NTH, image=IMAGES)
    def save(self, nth: int, image: str) -> None:
        domain = self.nth(nth)
        if domain is not None:
            self.left(domain, self.toolstack.save(domain.domid, image))

    @rule(nth=NTH, image=IMAGES)
    def save_half_way(self, nth: int, image: str) -> None:
        """The guest was stopped for it, and nothing else came of it."""
        domain = self.nth(nth)
        self.toolstack.trouble = Trouble(half_way=frozenset({ToolCall.SAVE}))
        if domain is not None:
            reply = self.toolstack.save(domain.domid, image)
            if reply.outcome is ToolOutcome.FAILED:
                self.states[domain.domid] = DomainState.SUSPENDED
        self.toolstack.trouble = Trouble()

    @rule(image=IMAGES)
    def restore(self, image: str) -> None:
        reply = self.toolstack.restore(image)
        if reply.outcome is DONE:
            assert self.toolstack.restore(image) == reply

    @rule(nth=NTH, to=st.sampled_from(["here", PEER, "nowhere"]))
    def migrate(self, nth: int, to: str) -> None:
        domain = self.nth(nth)
        if domain is not None:
            self.left(domain, self.toolstack.migrate(domain.domid, to))

    # Its devices, its pool, its balloon.

    @rule(name=st.sampled_from(DEVICES), may_leave=st.booleans())
    def detach(self, name: str, *, may_leave: bool) -> None:
        domain = self.home_of(name)
        self.host.devices[name].may_leave = may_leave
        if domain is not None and self.toolstack.detach(domain.domid, name).outcome is DONE:
            self.attached.pop(name, None)

    @rule(name=st.sampled_from(DEVICES))
    def attach(self, name: str) -> None:
        domain = self.home_of(name)
        if domain is not None and self.toolstack.attach(domain.domid, name).outcome is DONE:
            self.attached[name] = domain.domid

    @rule(nth=NTH)
    def drop_shadows(self, nth: int) -> None:
        domain = self.nth(nth)
        if domain is not None and self.toolstack.drop_shadows(domain.domid).outcome is DONE:
            marked = self.host.table.offlining_among(domain.pool)
            assert self.defects.pools_keep_marked or not len(marked)
            assert domain.paging is Paging.SHADOW

    @rule(nth=NTH, mfns=CALLS)
    def balloon_any(self, nth: int, mfns: list[int]) -> None:
        domain = self.nth(nth)
        if domain is not None:
            before = len(domain.frames)
            if self.toolstack.balloon(domain.domid, mfns).outcome is not DONE:
                assert len(domain.frames) == before

    @rule(nth=NTH, gfns=GFNS)
    def balloon_some(self, nth: int, gfns: set[int]) -> None:
        domain = self.nth(nth)
        if domain is not None:
            mfns = self.frames_of(domain, gfns)
            if self.toolstack.balloon(domain.domid, mfns).outcome is DONE:
                assert not np.isin(mfns, domain.p2m).any()

    @rule(nth=NTH, mfn=MFNS, to=NTH)
    def transfer(self, nth: int, mfn: int, to: int) -> None:
        """A guest makes another one a present of a page, marked or not; real Xen forgets that."""
        domain, taker, before = self.nth(nth), self.nth(to), self.marked()
        if domain is None or taker is None:
            return
        given = Mfn(self.frames_of(domain, {mfn})[0])
        if not self.host.transfer(given, taker):
            assert self.marked() == before
            return
        assert given in taker.p2m
        if self.defects.assign_forgets_marks:
            self.taken_out.discard(given)
        else:
            assert before.get(given) is self.marked().get(given)

    # Its pages, moved.

    @rule(nth=NTH, mfns=CALLS)
    def exchange_any(self, nth: int, mfns: list[int]) -> None:
        domain, before = self.nth(nth), self.marked()
        if domain is not None:
            reply = self.toolstack.exchange(domain.domid, mfns)
            assert reply.outcome is DONE or self.marked() == before

    @rule(nth=NTH, gfns=GFNS)
    def exchange_by_the_book(self, nth: int, gfns: set[int]) -> None:
        """What an agent does, in its order; other rules do the same out of order."""
        domain = self.nth(nth)
        if domain is not None:
            mfns = self.take_out_of(domain, gfns)
            self.suspend(nth)
            must_move = (
                self.nothing_hinders(domain, mfns) and not self.defects.exchange_is_for_pv_only
            )
            reply = self.toolstack.exchange(domain.domid, mfns)
            assert reply.outcome is DONE or not must_move
            self.judge_exchange(mfns, reply)
            self.resume(nth)

    @rule(nth=NTH, gfns=GFNS, at=STEPS, is_final=st.booleans())
    def exchange_that_trips(self, nth: int, gfns: set[int], at: Step, *, is_final: bool) -> None:
        domain = self.nth(nth)
        if domain is None:
            return
        mfns = self.take_out_of(domain, gfns)
        self.suspend(nth)
        before = domain.p2m.copy()
        self.toolstack.trouble = Trouble(trip=Trip(at, is_final=is_final))
        outcome = self.toolstack.exchange(domain.domid, mfns).outcome
        self.toolstack.trouble = Trouble()
        if outcome is ToolOutcome.GUEST_MAY_BE_DAMAGED:
            assert is_final
            self.torn.append(self.host.guests[domain.domid].workload)
        else:
            may_fail = not is_final or self.defects.exchange_names_wrong_owner
            assert may_fail or outcome is not ToolOutcome.FAILED
            assert outcome is DONE or np.array_equal(domain.p2m, before)
        self.resume(nth)

    # Whoever uses memory.

    @rule(nth=NTH, gfn=st.integers(0, 527), mapper=MAPPERS, stays=st.booleans())
    def map_page(self, nth: int, gfn: int, mapper: DomId, *, stays: bool) -> None:
        domain = self.nth(nth)
        if domain is not None:
            gfn %= len(domain.p2m)
            try:
                self.host.map_page(mapper, domain, Gfn(gfn), stays=stays)
            except ValueError:
                assert domain.p2m[gfn] == NO_FRAME or domain.is_shared[gfn]

    @rule(mfn=st.integers(0, FRAMES - 1))
    def unmap_what_is_not_mapped(self, mfn: int) -> None:
        with pytest.raises(ValueError, match="does not map"):
            self.host.unmap_page(DomId(99), Mfn(mfn))

    @rule(nth=NTH)
    def unmap_page(self, nth: int) -> None:
        mappings = self.host.mappers.mappings
        if mappings:
            mapping = mappings[nth % len(mappings)]
            self.host.unmap_page(mapping.mapper, mapping.mfn)

    @rule(accesses=st.integers(0, 200))
    def run_guests(self, accesses: int) -> None:
        for guest in self.host.guests.values():
            could_starve = self.could_starve(guest.domain)
            guest.run(accesses, self.rng)
            if could_starve:
                guest.workload.faults = 0

    @rule()
    def run_whoever_else_uses_memory(self) -> None:
        self.host.work(self.rng)

    # Help for the rules.

    def take_out(self, mfns: Sequence[int]) -> None:
        """Ask for these to be offlined, in the way of the personality."""
        raise NotImplementedError

    def nth(self, nth: int) -> Domain | None:
        living = list(self.host.domains.values())
        return living[nth % len(living)] if living else None

    def home_of(self, name: str) -> Domain | None:
        home = self.host.devices[name].home
        return next((d for d in self.host.domains.values() if d.name == home), None)

    def left(self, domain: Domain, reply: ToolReply) -> None:
        """Forget a domain that has ended."""
        if domain.domid in self.host.domains:
            assert reply.outcome is not DONE or domain.domid == reply.domid
            return
        self.states.pop(domain.domid, None)
        self.attached = {n: domid for n, domid in self.attached.items() if domid != domain.domid}

    def nth_of_note(self, nth: int) -> int:
        """A frame that somebody maps, or that is marked: where things go wrong."""
        held = sorted(self.host.table.references.mapped)
        of_note = [*held, *self.host.offlined(), 0]
        return int(of_note[nth % len(of_note)])

    def frames_of(self, domain: Domain, gfns: set[int]) -> list[int]:
        """The frames behind some of its pages, those that there are; its first page's at least."""
        mfns = domain.p2m[np.unique(np.array(sorted(gfns)) % len(domain.p2m))]
        found: list[int] = np.unique(mfns[mfns != NO_FRAME]).tolist()
        return found or domain.frames[:1].tolist() or [0]

    def take_out_of(self, domain: Domain, gfns: set[int]) -> list[int]:
        mfns = self.frames_of(domain, gfns)
        self.take_out(mfns)
        return mfns

    def judge_exchange(self, mfns: list[int], reply: ToolReply) -> None:
        if reply.outcome is DONE:
            states = self.marked()
            assert {states.get(Mfn(mfn)) for mfn in mfns} == {FrameState.OFFLINED}

    def nothing_hinders(self, domain: Domain, mfns: list[int]) -> bool:
        """True if these pages are the domain's own, pending, whole, and used by nobody else."""
        its_own = domain.p2m[(domain.p2m != NO_FRAME) & ~domain.is_shared]
        others = [*self.host.table.references.mapped, *domain.strays]
        pending = self.host.table.offlining_among(np.array(mfns))
        is_free = len(pending) == len(mfns) <= self.host.table.free and not domain.devices
        is_its_own = bool(np.isin(mfns, its_own).all()) and not np.isin(mfns, others).any()
        are_whole = not any(map(self.host.table.is_broken, map(Mfn, mfns)))
        return is_free and is_its_own and are_whole and not domain.has_crashed

    def could_starve(self, domain: Domain) -> bool:
        """True if the guest may touch a page for which there is no frame: that is a fault."""
        wanting = np.count_nonzero(domain.on_demand) > len(domain.pod_cache)
        return bool(wanting or np.count_nonzero(domain.is_shared) > self.host.table.free)
