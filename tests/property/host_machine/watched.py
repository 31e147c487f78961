"""A host, what is remembered of it from rule to rule, and what must hold after each of them.

First it is looked at who has which frame, then what everybody sees of his memory. A guest that a
rule tore on purpose is left out of what it may complain about, wherever it goes, until it is
started afresh.
"""

from collections import Counter

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from agent.contract.frames import DomId, Mfn
from agent.contract.toolstack import DomainState
from emulator.xen.defects import Defects
from emulator.xen.frametable import FrameState
from emulator.xen.guests import Guest, Workload
from emulator.xen.hypervisor import Hypervisor
from tests.property.host_machine.ledger import Ledger
from tests.property.host_machine.small import FRAMES, small_host


class WatchedHost(RuleBasedStateMachine):
    """`defects` are those of the personality. What is remembered is what the rules did, and no
    more: which frames were taken out, who was suspended or crashed, whose the devices are.
    """

    defects: Defects

    @initialize(seed=st.integers(0, 1 << 32))
    def start(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.boot()

    def boot(self) -> None:
        """A new host, about which nothing is known."""
        self.toolstack = small_host(self.defects)
        self.ledger = Ledger()
        self.taken_out: set[int] = set()
        self.gone: set[Mfn] = set()  # what was OFFLINED a step ago
        self.states: dict[DomId, DomainState] = {}
        self.attached = {"nic": DomId(4), "gpu": DomId(5)}
        self.torn: list[Workload] = []
        self.hurt: list[Workload] = []

    @property
    def host(self) -> Hypervisor:
        return self.toolstack.hypervisor

    @invariant()
    def all_holds(self) -> None:
        """In this order: whoever is in the wrong frames sees the wrong things too."""
        self.ledger.update(self.host)
        self.everybody_has_just_the_frames_that_he_should()
        self.no_frame_is_lost_or_won()
        self.what_was_taken_out_stays_out_until_it_is_brought_back()
        self.a_reference_is_kept_by_somebody()
        self.whoever_maps_a_page_has_the_frame_that_it_is_in()
        self.no_domain_is_left_half_way()
        self.the_parts_of_the_host_agree()
        self.no_guest_is_corrupted_or_faults()

    def everybody_has_just_the_frames_that_he_should(self) -> None:
        assert self.ledger.differences(self.host) == []

    def no_frame_is_lost_or_won(self) -> None:
        counts = self.host.host
        assert counts.frames == FRAMES
        assert counts.in_use + counts.offlining == np.count_nonzero(self.ledger.kinds)

    def what_was_taken_out_stays_out_until_it_is_brought_back(self) -> None:
        states = self.marked()
        assert states.keys() == self.taken_out
        gone = {mfn for mfn, state in states.items() if state is FrameState.OFFLINED}
        assert (self.gone & self.taken_out) <= gone
        self.gone = gone

    def a_reference_is_kept_by_somebody(self) -> None:
        references, mappings = self.host.table.references, self.host.mappers.mappings
        counted: Counter[tuple[int, int]] = Counter()
        for mfn, mappers in references._mappers.items():
            counted.update({(mfn, mapper): count for mapper, count in mappers.items()})
        assert counted == Counter((mapping.mfn, mapping.mapper) for mapping in mappings)
        assert min(counted.values(), default=1) > 0
        assert all(0 <= mfn < FRAMES for mfn, _ in counted)
        assert references.lingering == self.ledger.lingering

    def whoever_maps_a_page_has_the_frame_that_it_is_in(self) -> None:
        for mapping in self.host.mappers.mappings:
            guest = self.host.guests.get(mapping.owner)
            if guest is not None and not self.is_torn(guest):
                is_there = guest.domain.p2m[mapping.gfn] == mapping.mfn
                assert is_there or guest.workload.given_up[mapping.gfn]

    def no_domain_is_left_half_way(self) -> None:
        host = self.host
        assert host.guests.keys() == host.specs.keys() == host.domains.keys()
        for guest in host.guests.values():
            domain = guest.domain
            assert domain.state is self.states.get(domain.domid, DomainState.RUNNING)
            roots = set() if domain.tables is None else {domain.tables.root}
            assert domain.pinned == roots or self.is_torn(guest)
            mine = {name for name, domid in self.attached.items() if domid == domain.domid}
            assert set(domain.devices) == mine

    def the_parts_of_the_host_agree(self) -> None:
        guests = self.host.guests.values()
        torn = tuple(f"domain {guest.domain.domid} " for guest in guests if self.is_torn(guest))
        assert [wrong for wrong in self.host.check() if not wrong.startswith(torn)] == []

    def no_guest_is_corrupted_or_faults(self) -> None:
        for domid, guest in self.host.guests.items():
            harm = (guest.workload.corruptions, guest.workload.faults, guest.verify())
            is_hurt = any(guest.workload is hurt for hurt in self.hurt)
            assert self.is_torn(guest) or is_hurt or (domid, *harm) == (domid, 0, 0, 0)

    def note_broken(self, mfn: int) -> None:
        """Guests whose page has an uncorrected error may come to harm: it does not travel."""
        self.hurt += [g.workload for g in self.host.guests.values() if mfn in g.domain.p2m]

    def is_torn(self, guest: Guest) -> bool:
        return any(guest.workload is torn for torn in self.torn)

    def marked(self) -> dict[Mfn, FrameState]:
        """The frames that are marked; free and used ones are counted by the invariants."""
        return self.host.table.marked()
