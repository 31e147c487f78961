"""The frame table: of every frame its state, its tenant, and the guest's own number for it.

              allocate             offline
      FREE ───────────► IN_USE ◄───────────► OFFLINING
       ▲ ▲      free      │       online         │
       │ └────────────────┘                      │ free
       │                 online                  ▼
       └─────────────────────────────────────► OFFLINED
                         offline

The heart of the 2008 design is the arrow on the right: a page freed while OFFLINING is OFFLINED
in the same step, so that no allocation can ever come between. What `TRANSITIONS` does not list
cannot be done.

A frame is allocated first and assigned to its domain next; in between it is in use, and nobody's.

Everything is a column in which 0 means free, nobody, nothing; counts are kept and never recounted.
Whatever becomes FREE, or is so no longer, moves on the free lists in the same step, and is dirty or
wiped by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np

from agent.contract.columns import I64, U8, Bools
from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.hypercall import PageUse
from emulator.machine.columns import zeros
from emulator.xen.claims import Claims
from emulator.xen.defects import MENDED
from emulator.xen.freelists import FreeLists
from emulator.xen.pages import ROWS, PageKind
from emulator.xen.references import References
from emulator.xen.scrub import Scrubber, Wipe, no_content


class FrameState(IntEnum):
    FREE = 0
    IN_USE = 1
    OFFLINING = 2
    OFFLINED = 3


class Step(StrEnum):
    ALLOCATE = "allocate"
    ASSIGN = "assign"
    FREE = "free"
    OFFLINE = "offline"
    ONLINE = "online"


TRANSITIONS: dict[Step, dict[FrameState, FrameState]] = {
    Step.ALLOCATE: {
        FrameState.FREE: FrameState.IN_USE,
    },
    Step.ASSIGN: {
        FrameState.IN_USE: FrameState.IN_USE,
        FrameState.OFFLINING: FrameState.OFFLINING,
    },
    Step.FREE: {
        FrameState.IN_USE: FrameState.FREE,
        FrameState.OFFLINING: FrameState.OFFLINED,
    },
    Step.OFFLINE: {
        FrameState.FREE: FrameState.OFFLINED,
        FrameState.IN_USE: FrameState.OFFLINING,
        FrameState.OFFLINING: FrameState.OFFLINING,
        FrameState.OFFLINED: FrameState.OFFLINED,
    },
    Step.ONLINE: {
        FrameState.OFFLINED: FrameState.FREE,
        FrameState.OFFLINING: FrameState.IN_USE,
        FrameState.FREE: FrameState.FREE,
        FrameState.IN_USE: FrameState.IN_USE,
    },
}

OWNERLESS = frozenset({PageUse.FREE, PageUse.XEN_HEAP, PageUse.SHARED, PageUse.UNKNOWN})

_IMPOSSIBLE = 255
_AFTER: dict[Step, U8] = {
    step: np.array([rows.get(state, _IMPOSSIBLE) for state in FrameState], np.uint8)
    for step, rows in TRANSITIONS.items()
}

_KINDS = tuple(PageKind)
_CODES = {kind.value: code for code, kind in enumerate(_KINDS)}


class ImpossibleTransitionError(Exception):
    """The hypervisor would have to panic here: a double free, or a frame handed out twice."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who has a frame and as what: a `PageUse`, or the finer kind. Xen's own have no owner."""

    use: PageUse | PageKind
    owner: DomId | None = None


UNASSIGNED = Tenant(PageKind.ANONYMOUS)


@dataclass(frozen=True, slots=True)
class Counts:
    """Frames by state; together they are all the host has."""

    free: int
    in_use: int
    offlining: int
    offlined: int

    @property
    def frames(self) -> int:
        return self.free + self.in_use + self.offlining + self.offlined


class FrameTable:
    """All frames of a host of `nodes` NUMA nodes, FREE at first.

    `wipe` is what scrubbing does to the content of frames. `defects` are mended until somebody says
    otherwise.
    """

    def __init__(self, frames: int, nodes: int = 1, wipe: Wipe = no_content) -> None:
        self.frames = frames
        self.defects = MENDED
        self.lists = FreeLists(frames, nodes)
        self.scrubber = Scrubber(frames, nodes, wipe)
        self.claims = Claims()
        self._state = zeros(frames, np.uint8)
        self._use = zeros(frames, np.uint8)
        self._owner = zeros(frames, np.uint16)
        self._gfn_plus_1 = zeros(frames, np.uint32)
        self._counts = np.array([frames, 0, 0, 0], np.int64)
        self.references = References(self.release)
        self._marked: dict[Mfn, FrameState] = {}
        self._broken: set[Mfn] = set()
        self._broken_list: set[Mfn] = set()
        self._headed: set[Mfn] = set()

    @property
    def counts(self) -> Counts:
        return Counts(*self._counts.tolist())

    @property
    def free(self) -> int:
        """How many frames could be allocated now."""
        return int(self._counts[FrameState.FREE])

    def available_to(self, domid: DomId | None) -> int:
        """How many of them `domid` could have; None: whoever is no domain. Others have claims."""
        return self.free - self.claims.of_others(domid)

    def marked(self) -> dict[Mfn, FrameState]:
        """Every frame that is OFFLINING or OFFLINED, in the order in which that was asked."""
        return dict(self._marked)

    def free_within(self, first: int, last: int) -> I64:
        """The FREE frames from `first` up to but not including `last`."""
        return np.flatnonzero(self._state[first:last] == FrameState.FREE) + first

    def are_free(self, mfns: I64) -> bool:
        return bool((self._state[mfns] == FrameState.FREE).all())

    def offlined_among(self, mfns: I64) -> I64:
        offlined: I64 = mfns[self._state[mfns] == FrameState.OFFLINED]
        return offlined

    def offlining_among(self, mfns: I64) -> I64:
        offlining: I64 = mfns[self._state[mfns] == FrameState.OFFLINING]
        return offlining

    def node_of(self, mfn: Mfn) -> int:
        """The NUMA node that the frame is of."""
        return self.lists.node_of(mfn)

    def state_of(self, mfn: Mfn) -> FrameState:
        return FrameState(int(self._state[mfn]))

    def use_of(self, mfn: Mfn) -> PageUse:
        return ROWS[self.kind_of(mfn)].use

    def kind_of(self, mfn: Mfn) -> PageKind:
        """What the frame is used for; ABSENT beyond the host."""
        return _KINDS[int(self._use[mfn])] if 0 <= mfn < self.frames else PageKind.ABSENT

    def holder_of(self, mfn: Mfn) -> DomId:
        """The owner column: the domain for whose sake the frame is in use, 0 if for no guest's."""
        return DomId(int(self._owner[mfn]))

    def is_broken(self, mfn: Mfn) -> bool:
        return mfn in self._broken

    def are_whole(self, mfns: I64) -> Bools:
        """Which of these frames are not broken: what is, nobody reads."""
        return ~np.isin(mfns, list(self._broken))

    def mark_broken(self, mfn: Mfn) -> None:
        """The frame had an uncorrected error. Nothing ever takes that back."""
        self._broken.add(mfn)
        if not self.defects.broken_stay_listed_as_whole:  # D6
            self._shelve(mfn)

    @property
    def broken(self) -> list[Mfn]:
        """Every frame that had an uncorrected error."""
        return sorted(self._broken)

    def reads_as_owned(self, mfn: Mfn) -> bool:
        """D13: true for a frame that headed a free buddy of several when it was offlined: where an
        owner would be, it has the order of that.
        """
        return self.defects.orders_read_as_owners and mfn in self._headed

    def broken_list(self) -> set[Mfn]:
        """The OFFLINED frames that are kept apart as broken."""
        return set(self._broken_list)

    def offlined_list(self) -> set[Mfn]:
        """The other OFFLINED frames."""
        offlined = {m for m, state in self._marked.items() if state is FrameState.OFFLINED}
        return offlined - self._broken_list

    def owner_of(self, mfn: Mfn) -> DomId | None:
        """The domain that holds the frame, or for whose sake it is there; None if there is none."""
        if self.use_of(mfn) in OWNERLESS:
            return None
        return DomId(int(self._owner[mfn]))

    def gfn_of(self, mfn: Mfn) -> Gfn | None:
        """The M2P: what the owning guest calls this frame. None where no guest has it."""
        gfn = int(self._gfn_plus_1[mfn]) - 1 if 0 <= mfn < self.frames else -1
        return None if gfn < 0 else Gfn(gfn)

    def gfns_of(self, mfns: I64) -> I64:
        """The M2P of many frames at once; -1 where no guest has one."""
        return self._gfn_plus_1[mfns].astype(np.int64) - 1

    def owned_by(self, mfns: I64, tenant: Tenant) -> bool:
        """True if `tenant` has every one of them."""
        use, owner = _CODES[tenant.use], tenant.owner or 0
        return bool(((self._use[mfns] == use) & (self._owner[mfns] == owner)).all())

    def owned(self, domid: DomId) -> I64:
        """Every frame that this domain holds. Reads every frame: for small hosts."""
        return np.flatnonzero(self._owner == domid)

    def holders(self) -> set[DomId]:
        """Every domain that holds a frame, dom0 left out. Reads every frame: for small hosts."""
        return set(map(DomId, np.unique(self._owner[self._owner > 0]).tolist()))

    def allocate(self, mfns: I64, tenant: Tenant = UNASSIGNED) -> None:
        """Take free frames, and assign them too unless that is to come."""
        self._step(mfns, Step.ALLOCATE)
        self.scrubber.clean(mfns)
        self._let(mfns, tenant)
        self.claims.spend(tenant.owner, len(mfns))

    def assign(self, mfns: I64, tenant: Tenant) -> None:
        """Give `tenant` frames that are allocated: for the first time, or back after all."""
        self._step(mfns, Step.ASSIGN)
        if self.defects.assign_forgets_marks:  # D4
            self._step(mfns, Step.ONLINE)
            self._broken.difference_update(map(Mfn, mfns.tolist()))
        self._let(mfns, tenant)

    def retype(self, mfns: I64, kind: PageKind) -> None:
        """Their owner uses these frames as `kind` from now on."""
        self._use[mfns] = _CODES[kind]

    def map(self, mfns: I64, gfns: I64) -> None:
        """Write the M2P: frame `mfns[i]` is the guest's `gfns[i]`."""
        self._gfn_plus_1[mfns] = gfns + 1

    def unmap(self, mfns: I64) -> None:
        """Clear the M2P of these frames."""
        self._gfn_plus_1[mfns] = 0

    def release(self, mfns: I64) -> None:
        """Free frames. Those that were OFFLINING are OFFLINED by this, and never FREE."""
        self._refuse_broken_in_use(mfns)
        self._step(mfns, Step.FREE)
        self._soil(mfns[self._owner[mfns] > 0])
        self._use[mfns] = 0
        self._owner[mfns] = 0
        self._gfn_plus_1[mfns] = 0

    def offline(self, mfn: Mfn) -> FrameState:
        """Take the frame out, now or when it is freed; where that leaves it."""
        self.offline_all(np.array([mfn], np.int64))
        return self.state_of(mfn)

    def offline_all(self, mfns: I64) -> None:
        """The same for many frames at once, each named once."""
        self._step(mfns, Step.OFFLINE)
        self.scrubber.leave(mfns, uncount=not self.defects.offlined_stay_unscrubbed)
        if not self.defects.claims_outlive_their_pages:
            self.claims.recall(self.free)

    def online(self, mfn: Mfn) -> FrameState:
        """Cancel a pending request, or bring the frame back; where that leaves it."""
        self.online_all(np.array([mfn], np.int64))
        return self.state_of(mfn)

    def online_all(self, mfns: I64) -> None:
        """The same for many frames at once, each named once. A broken one never comes back."""
        if broken := self._broken.intersection(mfns.tolist()):
            raise ImpossibleTransitionError(f"cannot online frame {min(broken):#x}: it is broken")
        self._step(mfns, Step.ONLINE)

    def check(self) -> Sequence[str]:
        """What is wrong with the bookkeeping, in sentences. Reads every frame: for small hosts."""
        counted = np.bincount(self._state, minlength=len(FrameState))
        ownerless = np.isin(self._state, (FrameState.FREE, FrameState.OFFLINED))
        marked = np.flatnonzero(self._state >= FrameState.OFFLINING)
        claims = {
            "the counts are not those of the column": np.array_equal(counted, self._counts),
            "a free or offlined frame has a tenant": not self._use[ownerless].any(),
            "a free or offlined frame has an M2P entry": not self._gfn_plus_1[ownerless].any(),
            "a frame in use has no tenant": bool(self._use[~ownerless].all()),
            "the marked frames are not those of the column": self._marked
            == {Mfn(mfn): self.state_of(Mfn(mfn)) for mfn in marked.tolist()},
        }
        free = self.free_within(0, self.frames)
        wrong = [claim for claim, holds in claims.items() if not holds]
        return [*wrong, *self.lists.check(free), *self.scrubber.check(free)]

    def _let(self, mfns: I64, tenant: Tenant) -> None:
        self._use[mfns] = _CODES[tenant.use]
        self._owner[mfns] = tenant.owner or 0

    def _refuse_broken_in_use(self, mfns: I64) -> None:
        """Whatever breaks is marked OFFLINING too, or it would be handed out again."""
        unmarked = [mfn for mfn in self._broken if self._state[mfn] == FrameState.IN_USE]
        if unmarked and np.isin(unmarked, mfns).any():
            raise ImpossibleTransitionError(f"cannot free frame {unmarked[0]:#x}: it is broken")

    def _soil(self, mfns: I64) -> None:
        """A domain has freed them. D2: those that left at once are counted as well."""
        is_free = self._state[mfns] == FrameState.FREE
        self.scrubber.soil(mfns[is_free])
        if self.defects.offlined_stay_unscrubbed:
            self.scrubber.count(mfns[~is_free])

    def _step(self, mfns: I64, step: Step) -> None:
        """Move all frames, or raise and move none."""
        before = self._state[mfns]
        after = _AFTER[step][before]
        if (after == _IMPOSSIBLE).any() or _names_twice(mfns):
            raise ImpossibleTransitionError(_complaint(mfns, before, after, step))
        self._state[mfns] = after
        self._counts += np.bincount(after, minlength=len(FrameState))
        self._counts -= np.bincount(before, minlength=len(FrameState))
        self._note(mfns[np.maximum(before, after) >= FrameState.OFFLINING])
        self._list(mfns, before, after)

    def _list(self, mfns: I64, before: U8, after: U8) -> None:
        """Keep the free lists true. A page freed while OFFLINING merges, and is carved out."""
        freed = (before != FrameState.FREE) & (after == FrameState.FREE)
        retired = (before == FrameState.OFFLINING) & (after == FrameState.OFFLINED)
        self._note_heads(mfns, before, after)
        self.lists.take(mfns[(before == FrameState.FREE) & (after != FrameState.FREE)])
        self.lists.put(mfns[freed | retired], mfns[retired])

    def _note_heads(self, mfns: I64, before: U8, after: U8) -> None:
        """Keep `_headed` true, while the free lists are still those of before."""
        left = (before == FrameState.FREE) & (after == FrameState.OFFLINED)
        back = (before == FrameState.OFFLINED) & (after != FrameState.OFFLINED)
        self._headed.difference_update(map(Mfn, mfns[back].tolist()))
        self._headed.update(map(Mfn, self.lists.heads_among(mfns[left]).tolist()))

    def _note(self, mfns: I64) -> None:
        """Keep `_marked` true; only frames that are or were marked come here, and they are few."""
        for mfn in map(Mfn, mfns.tolist()):
            state, before = self.state_of(mfn), self._marked.get(mfn)
            if state >= FrameState.OFFLINING:
                self._marked[mfn] = state
            else:
                self._marked.pop(mfn, None)
            if state is not before:
                self._shelve(mfn)

    def _shelve(self, mfn: Mfn) -> None:
        """Put an OFFLINED frame that is broken on the list of those."""
        if mfn in self._broken and self._marked.get(mfn) is FrameState.OFFLINED:
            self._broken_list.add(mfn)


def _names_twice(mfns: I64) -> bool:
    in_order = np.sort(mfns)  # np.unique hashes, and takes 30 times as long for a million frames
    return bool((in_order[1:] == in_order[:-1]).any())


def _complaint(mfns: I64, before: U8, after: U8, step: Step) -> str:
    wrong = np.flatnonzero(after == _IMPOSSIBLE)
    if not len(wrong):
        return f"cannot {step} a frame twice in one call"
    first = int(wrong[0])
    state = FrameState(int(before[first])).name.lower()
    return f"cannot {step} frame {int(mfns[first]):#x}: it is {state}"
