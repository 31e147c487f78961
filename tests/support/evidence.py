"""What a run of the demo may end with: say what matters, the rest is ordinary."""

from uuid import UUID

from agent.contract.hypercall import PageUse
from agent.contract.status import CaseView, PausesView, Rest, StatusView
from agent.contract.toolstack import DomainInfo, DomainState, GuestKind
from emulator.demo.judge import Evidence
from emulator.edges.truth import CountsTruth, FrameTruth, GuestTruth, HostState, PastTruth, Truth
from emulator.scenario import Expect

BOOT = UUID(int=1)
NO_PAST = PastTruth()
NOTHING_EXPECTED = Expect()


def a_frame(
    state: str, mfn: int = 5, owner: int | None = None, *, is_broken: bool = False
) -> FrameTruth:
    return FrameTruth(mfn=mfn, state=state, use=PageUse.FREE, owner=owner, is_broken=is_broken)


def a_case(rest: Rest, mfn: int = 5) -> CaseView:
    return CaseView(id="c1", mfn=mfn, state=rest.value, rest=rest, opened_at=0, moved_at=0)


def a_guest(*, corruptions: int = 0, wrong_pages: int = 0) -> GuestTruth:
    return GuestTruth(
        name="db",
        kind=GuestKind.PV,
        domid=1,
        state=DomainState.RUNNING,
        reads=9,
        writes=9,
        corruptions=corruptions,
        wrong_pages=wrong_pages,
    )


def a_truth(
    *,
    marked: tuple[FrameTruth, ...] = (),
    guest: GuestTruth | None = None,
    domain_state: DomainState | None = DomainState.RUNNING,
    errors: int = 4,
    source_done: bool = True,
    state: HostState = HostState.UP,
    past: PastTruth = NO_PAST,
    outbox: int = 0,
    expect: Expect = NOTHING_EXPECTED,
) -> Truth:
    domain = DomainInfo(
        domid=1, name="db", kind=GuestKind.PV, state=domain_state or DomainState.RUNNING, pages=1
    )
    return Truth(
        host="hv-1",
        boot_id=BOOT,
        state=state,
        past=past,
        title="t",
        expect=expect,
        seconds=1.0,
        ereports=2,
        errors=errors,
        next_seq=2,
        frames=CountsTruth(free=1, in_use=1, offlining=0, offlined=1),
        marked=marked,
        domains=(domain,) if domain_state else (),
        images=() if domain_state else ("c1",),
        guests=(guest or a_guest(),),
        source_done=source_done,
        is_quiet=True,
        broker_connected=True,
        outbox=outbox,
        unpublished=0,
    )


def evidence(
    truth: Truth | None = None,
    *,
    frames: tuple[FrameTruth, ...] = (),
    cases: tuple[CaseView, ...] = (),
    errors: int = 4,
    counts: dict[str, int] | None = None,
    pauses: int = 0,
) -> Evidence:
    status = StatusView(
        host="hv-1",
        version="0",
        healthy=True,
        ereports=2,
        errors=errors,
        cases=counts or {},
        guest_pauses_seconds=PausesView(count=pauses),
    )
    return Evidence(truth or a_truth(), frames, status, cases)
