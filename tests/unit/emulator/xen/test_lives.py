"""Guests that come and go: every way in, every way out, and each asked for twice."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import DOM0, FIRST_RESERVED_DOMID, DomId, Mfn
from agent.contract.hypercall import PageStatus
from agent.contract.toolstack import (
    DomainState,
    GuestKind,
    PeerInfo,
    ToolCall,
    ToolOutcome,
    ToolReply,
)
from emulator.machine.content import Content
from emulator.xen import lives
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.peers import Peer
from emulator.xen.toolstack import Toolstack
from emulator.xen.trouble import Trouble
from tests.support.hosts import FIRST, HVM, PLAIN, PV, SECOND, fill, frame_of, host_of, mark, pend

DONE, REFUSED, FAILED = ToolOutcome.DONE, ToolOutcome.REFUSED, ToolOutcome.FAILED
TRY_AGAIN, NOBODY = ToolOutcome.TRY_AGAIN, ToolOutcome.NO_SUCH_DOMAIN
NIC = "nic0"
SPEC = replace(PV, devices=(NIC,), buffer_pages=4, ring_pages=2, shared_pages=1)


@pytest.fixture
def host() -> Hypervisor:
    return host_of(PV, replace(HVM, pages=256))


@pytest.fixture
def tools(host: Hypervisor) -> Toolstack:
    tools = Toolstack(host)
    tools.peers["far"] = Peer("far", 700)
    return tools


def told(reply: ToolReply) -> tuple[ToolOutcome, int | None]:
    return reply.outcome, reply.domid


def domids(tools: Toolstack) -> list[int]:
    return [info.domid for info in tools.domains().domains]


def test_a_guest_that_is_created_runs_and_is_well(tools: Toolstack, rng: Generator) -> None:
    assert told(tools.create("new", GuestKind.HVM, 64)) == (DONE, 3)
    guest = tools.hypervisor.guests[DomId(3)]
    guest.run(1000, rng)
    assert (guest.domain.is_running, guest.workload.corruptions, tools.hypervisor.check()) == (
        True,
        0,
        [],
    )


def test_creating_twice_is_done_once(tools: Toolstack) -> None:
    replies = [told(tools.create("new", GuestKind.PV, 64)) for _ in range(2)]
    assert (replies, domids(tools)) == ([(DONE, 3)] * 2, [1, 2, 3])


@pytest.mark.parametrize(("kind", "pages"), [(GuestKind.HVM, 600), (GuestKind.PV, 601)])
def test_a_name_that_another_guest_has_is_refused(
    tools: Toolstack, kind: GuestKind, pages: int
) -> None:
    reply = tools.create("db", kind, pages)
    assert (reply.outcome, reply.reason) == (REFUSED, "there is a guest db already")


def test_a_guest_too_small_for_its_tables_is_refused(tools: Toolstack) -> None:
    reply = tools.create("new", GuestKind.PV, 4)
    assert (reply.outcome, domids(tools)) == (REFUSED, [1, 2])


def test_without_room_a_guest_is_for_later(tools: Toolstack) -> None:
    reply = tools.create("new", GuestKind.HVM, 4000)
    assert (reply.outcome, reply.reason) == (TRY_AGAIN, "no room: 4000 pages for guest new")


def test_what_others_claim_is_no_room_for_a_new_guest(tools: Toolstack, host: Hypervisor) -> None:
    host.table.claims.stake(DomId(9), host.host.free - 63, host.host.free)
    assert tools.create("new", GuestKind.HVM, 64).outcome is TRY_AGAIN


def test_a_new_guest_has_none_of_the_retired_frames(tools: Toolstack, host: Hypervisor) -> None:
    retired = list(range(2000, 2100))
    host.page_offline_pending(retired)
    tools.create("new", GuestKind.HVM, host.host.free)
    assert not set(retired) & set(host.domains[DomId(3)].p2m.tolist())


def test_a_destroyed_guest_is_gone_with_its_pending_pages(
    tools: Toolstack, host: Hypervisor
) -> None:
    mfn = mark(host, FIRST, PLAIN)
    assert told(tools.destroy(FIRST)) == (DONE, 1)
    assert (domids(tools), host.page_query([mfn]).pages[0].status) == ([2], PageStatus.OFFLINED)


def test_destroying_twice_is_done(tools: Toolstack) -> None:
    assert [told(tools.destroy(FIRST)) for _ in range(2)] == [(DONE, 1)] * 2


def test_a_dying_domain_is_destroyed_already(tools: Toolstack, host: Hypervisor) -> None:
    host.map_page(DOM0, host.domains[FIRST], PLAIN, stays=True)
    tools.destroy(FIRST)
    assert (told(tools.destroy(FIRST)), list(host.dying)) == ((DONE, 1), [FIRST])


def test_a_dying_domain_is_listed_with_what_it_still_has(
    tools: Toolstack, host: Hypervisor
) -> None:
    host.map_page(DOM0, host.domains[FIRST], PLAIN, stays=True)
    tools.destroy(FIRST)
    info = tools.domains().domains[-1]
    assert (info.domid, info.state, info.pages) == (FIRST, DomainState.DYING, 1)


def test_nothing_but_waiting_can_be_done_to_a_dying_domain(
    tools: Toolstack, host: Hypervisor
) -> None:
    host.map_page(DOM0, host.domains[FIRST], PLAIN, stays=True)
    tools.destroy(FIRST)
    outcomes = {tools.suspend(FIRST).outcome, tools.save(FIRST, "a").outcome}
    assert outcomes == {NOBODY}


@pytest.mark.parametrize("domid", [0, 9])
def test_who_was_never_there_cannot_be_destroyed(tools: Toolstack, domid: int) -> None:
    assert tools.destroy(domid).outcome is NOBODY


def test_a_crashed_guest_can_be_destroyed(tools: Toolstack, host: Hypervisor) -> None:
    host.crash(FIRST)
    assert tools.destroy(FIRST).outcome is DONE


@pytest.mark.parametrize("call", ["suspend", "resume", "migrate", "drop_shadows"])
def test_nothing_else_can_be_done_to_a_crashed_guest(
    tools: Toolstack, host: Hypervisor, call: str
) -> None:
    host.crash(FIRST)
    assert getattr(tools, call)(FIRST).outcome is NOBODY


def test_a_rebooted_guest_is_another_domain_and_begins_anew(
    tools: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    host.guests[FIRST].run(1000, rng)
    assert told(tools.reboot(FIRST)) == (DONE, 3)
    guest = host.guests[DomId(3)]
    guest.run(1000, rng)
    workload = guest.workload
    assert (workload.reads + workload.writes, workload.corruptions) == (1000, 0)


def test_a_crashed_guest_can_be_rebooted(tools: Toolstack, host: Hypervisor) -> None:
    host.crash(FIRST)
    assert told(tools.reboot(FIRST)) == (DONE, 3)


def test_rebooting_twice_tells_the_domain_it_became(tools: Toolstack) -> None:
    assert [told(tools.reboot(FIRST)) for _ in range(2)] == [(DONE, 3)] * 2


def test_who_was_never_there_cannot_be_rebooted(tools: Toolstack) -> None:
    assert tools.reboot(9).outcome is NOBODY


def test_a_reboot_needs_no_room_but_its_own(tools: Toolstack, host: Hypervisor) -> None:
    fill(host)
    assert (tools.reboot(FIRST).outcome, host.host.free, host.check()) == (DONE, 0, [])


def test_a_guest_that_would_not_fit_any_more_is_not_ended(
    tools: Toolstack, host: Hypervisor
) -> None:
    """One of its pages leaves the host with it."""
    fill(host)
    pend(host, FIRST, PLAIN)
    reply = tools.reboot(FIRST)
    assert (reply.outcome, reply.reason) == (TRY_AGAIN, "no room: guest db")
    assert (domids(tools), host.guests[FIRST].verify()) == ([1, 2], 0)


def test_a_page_that_a_tool_goes_on_mapping_is_no_room(tools: Toolstack, host: Hypervisor) -> None:
    fill(host)
    host.map_page(DOM0, host.domains[FIRST], PLAIN, stays=True)
    assert (tools.reboot(FIRST).outcome, domids(tools)) == (TRY_AGAIN, [1, 2])


def test_the_rings_of_a_rebooted_guest_are_mapped_anew_and_are_room(rng: Generator) -> None:
    host = host_of(replace(PV, ring_pages=2))
    fill(host)
    Toolstack(host).reboot(FIRST)
    host.guests[SECOND].run(1000, rng)
    host.work(rng)
    assert (len(host.table.references.mapped), host.guests[SECOND].verify(), host.check()) == (
        2,
        0,
        [],
    )


def test_a_rebooted_guest_has_its_devices_again(rng: Generator) -> None:
    host = host_of(SPEC)
    Toolstack(host).reboot(FIRST)
    host.work(rng)
    assert (host.domains[SECOND].devices, host.guests[SECOND].verify()) == ((NIC,), 0)


def test_without_a_domain_id_left_a_guest_is_not_ended(tools: Toolstack, host: Hypervisor) -> None:
    host._next_domid = FIRST_RESERVED_DOMID
    replies = [tools.reboot(FIRST), tools.migrate(FIRST), tools.create("new", GuestKind.HVM, 1)]
    assert {(reply.outcome, reply.reason) for reply in replies} == {
        (REFUSED, "all domain ids are used up")
    }
    assert domids(tools) == [1, 2]


def test_a_guest_that_migrates_here_goes_on_in_another_domain(
    tools: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    mfn = mark(host, FIRST, PLAIN)
    host.guests[FIRST].run(1000, rng)
    assert told(tools.migrate(FIRST)) == (DONE, 3)
    guest = host.guests[DomId(3)]
    guest.run(1000, rng)
    assert (guest.workload.corruptions, guest.verify(), host.check()) == (0, 0, [])
    assert (domids(tools), host.page_query([mfn]).pages[0].status) == ([2, 3], PageStatus.OFFLINED)


def test_a_guest_that_migrates_here_needs_room_for_two(tools: Toolstack, host: Hypervisor) -> None:
    fill(host)
    reply = tools.migrate(FIRST)
    assert (reply.outcome, reply.reason) == (
        TRY_AGAIN,
        "no room: 600 pages for a second copy of db",
    )
    assert (domids(tools), host.guests[FIRST].verify()) == ([1, 2], 0)


def test_a_guest_that_migrates_to_a_peer_is_here_no_more(
    tools: Toolstack, host: Hypervisor
) -> None:
    assert told(tools.migrate(FIRST, "far")) == (DONE, None)
    assert (domids(tools), [g.spec.name for g in tools.peers["far"].guests]) == ([2], ["db"])
    assert host.host.in_use == 256


def test_a_guest_takes_room_where_it_went(tools: Toolstack) -> None:
    tools.migrate(FIRST, "far")
    assert tools.domains().peers == (PeerInfo(name="far", free_pages=100),)


def test_a_peer_without_room_takes_nobody(tools: Toolstack) -> None:
    tools.migrate(FIRST, "far")
    reply = tools.migrate(SECOND, "far")
    assert (reply.outcome, reply.reason) == (TRY_AGAIN, "peer far has 100 pages free")
    assert domids(tools) == [2]


def test_an_unknown_peer_is_refused_and_the_known_ones_are_named(tools: Toolstack) -> None:
    reply = tools.migrate(FIRST, "mars")
    assert (reply.outcome, reply.reason) == (REFUSED, "there is no peer mars; there are: far")


def test_without_peers_that_is_said(host: Hypervisor) -> None:
    assert Toolstack(host).migrate(FIRST, "mars").reason == "there is no peer mars; there are: none"


@pytest.mark.parametrize("to", ["here", "far"])
def test_migrating_twice_tells_the_domain_it_became(tools: Toolstack, to: str) -> None:
    first, again = told(tools.migrate(FIRST, to)), told(tools.migrate(FIRST, to))
    assert (first[0], first) == (DONE, again)


def test_a_suspended_guest_cannot_migrate(tools: Toolstack) -> None:
    tools.suspend(FIRST)
    reply = tools.migrate(FIRST)
    assert (reply.outcome, reply.reason) == (REFUSED, "domain 1 must run to be migrated")


def test_who_was_never_there_cannot_migrate(tools: Toolstack) -> None:
    assert tools.migrate(9).outcome is NOBODY


def test_who_was_before_is_forgotten_in_the_end(
    tools: Toolstack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "SUCCESSORS_MAX", 1)
    tools.migrate(FIRST)
    tools.migrate(SECOND)
    assert (tools.migrate(FIRST).outcome, tools.migrate(SECOND).outcome) == (NOBODY, DONE)


@pytest.mark.parametrize("call", ["save", "migrate"])
def test_a_guest_with_a_device_cannot_leave(call: str) -> None:
    host = host_of(SPEC)
    tools = Toolstack(host)
    reply = tools.save(FIRST, "a") if call == "save" else tools.migrate(FIRST)
    assert (reply.outcome, reply.reason) == (REFUSED, "nic0 is assigned to domain 1")
    assert (domids(tools), host.host.in_use) == ([1], 601)


@pytest.mark.parametrize("call", ["save", "migrate"])
def test_once_the_device_is_gone_it_can(call: str) -> None:
    tools = Toolstack(host_of(SPEC))
    tools.detach(FIRST, NIC)
    reply = tools.save(FIRST, "a") if call == "save" else tools.migrate(FIRST)
    assert reply.outcome is DONE


def test_a_restored_guest_can_have_its_device_again(rng: Generator) -> None:
    host = host_of(SPEC)
    tools = Toolstack(host)
    tools.detach(FIRST, NIC)
    tools.save(FIRST, "a")
    tools.restore("a")
    tools.attach(SECOND, NIC)
    host.work(rng)
    assert (host.domains[SECOND].devices, host.guests[SECOND].verify()) == ((NIC,), 0)


def test_a_save_that_fails_half_way_leaves_the_guest_stopped_and_no_image(
    tools: Toolstack, host: Hypervisor
) -> None:
    tools.trouble = Trouble(half_way=frozenset({ToolCall.SAVE}))
    reply = tools.save(FIRST, "a")
    assert (reply.outcome, reply.reason) == (FAILED, "save: it failed half-way")
    assert (host.domains[FIRST].state, tools.domains().images) == (DomainState.SUSPENDED, ())


def test_a_migration_that_fails_half_way_leaves_the_guest_running_where_it_was(
    tools: Toolstack, host: Hypervisor
) -> None:
    tools.trouble = Trouble(half_way=frozenset({ToolCall.MIGRATE}))
    before = host.host
    reply = tools.migrate(FIRST, "far")
    assert (reply.outcome, reply.reason) == (FAILED, "migrate: it failed half-way")
    assert (host.domains[FIRST].is_running, host.host) == (True, before)


def test_a_guest_does_not_share_its_memory_with_the_host_it_left(
    tools: Toolstack, host: Hypervisor
) -> None:
    """What comes to be in its frames here is nothing to it there."""
    mfn = frame_of(host.domains[FIRST], PLAIN)
    tools.migrate(FIRST, "far")
    (being,) = tools.peers["far"].guests
    before = being.words.tolist()
    host.memory.write(np.array([mfn]), np.array([1], np.uint64))
    assert being.words.tolist() == before


def test_a_guest_of_the_layout_that_must_own_frames_need_not_own_them_again() -> None:
    at = tuple(map(Mfn, range(100, 110)))
    host = host_of(GuestSpec("web", GuestKind.HVM, 64, at=at))
    host.page_offline_pending(list(at))
    tools = Toolstack(host)
    tools.save(FIRST, "a")
    assert (tools.restore("a").outcome, host.check()) == (DONE, [])


def test_a_name_that_waits_on_the_disk_is_no_new_guests(tools: Toolstack) -> None:
    tools.save(FIRST, "image")
    assert told(tools.create("db", GuestKind.PV, 600)) == (REFUSED, None)
    assert told(tools.restore("image")) == (DONE, 3)


def test_a_name_that_a_dying_domain_has_is_no_new_guests_yet(
    tools: Toolstack, host: Hypervisor
) -> None:
    host.map_page(DOM0, host.domains[FIRST], PLAIN, stays=True)
    tools.destroy(FIRST)
    assert tools.create("db", GuestKind.PV, 600).outcome is TRY_AGAIN


def test_the_guest_itself_does_not_wait_for_whoever_maps_its_old_pages(
    tools: Toolstack, host: Hypervisor
) -> None:
    host.map_page(DOM0, host.domains[FIRST], PLAIN, stays=True)
    tools.save(FIRST, "image")
    assert told(tools.restore("image")) == (DONE, 3)


def test_an_image_is_not_restored_beside_another_guest_of_that_name(
    tools: Toolstack, host: Hypervisor
) -> None:
    being = host.captured(host.domains[FIRST])
    tools.save(FIRST, "image")
    host.create(being)
    assert tools.restore("image").outcome is REFUSED


def test_a_guest_too_large_for_the_host_is_judged_without_being_made(tools: Toolstack) -> None:
    judged = tools.judge_create("new", GuestKind.PV, 1 << 28)
    assert judged is not None
    assert judged.outcome is TRY_AGAIN


def test_what_can_be_done_is_not_judged(tools: Toolstack) -> None:
    tools.save(SECOND, "image")
    judged = [
        tools.judge_create("new", GuestKind.PV, 64),
        tools.judge_migrate(FIRST, "far"),
        tools.judge_restore("image"),
    ]
    assert judged == [None, None, None]


def test_trouble_is_of_the_call_that_meets_it_and_of_no_other(tools: Toolstack) -> None:
    troubled = tools.meeting(Trouble(suspend=FAILED))
    assert troubled.suspend(FIRST).outcome is FAILED
    assert tools.suspend(FIRST).outcome is DONE
    troubled.migrate(SECOND)
    assert told(tools.migrate(SECOND)) == (DONE, 3)  # what one remembers, the other knows


def test_a_guest_whose_ring_is_broken_travels_without_it() -> None:
    """Nobody reads the page to send it, so dom0 has nothing to map where the guest arrives."""
    layout = Layout(512, 16, 32, (GuestSpec("db", GuestKind.PV, 64, ring_pages=1),))
    host = Hypervisor(layout, Content(layout.frames))
    domain = host.domains[DomId(1)]
    ring = Mfn(int(domain.p2m[host.specs[DomId(1)].rings.start]))
    host.page_offline_pending([ring])
    host.table.mark_broken(ring)
    assert Toolstack(host).migrate(1).outcome is ToolOutcome.DONE
    assert not host.table.references.mapped
