"""Devices: they write to frames of the host, whatever the guest does."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.toolstack import DomainState, ToolOutcome
from emulator.machine.content import Content
from emulator.xen.devices import Device
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import Layout
from emulator.xen.toolstack import Toolstack
from tests.support.hosts import FIRST, HVM, PV, SECOND, frames_of, host_of, pend

NIC = "nic0"
SPEC = replace(HVM, devices=(NIC,), buffer_pages=4, pages=64)
BUFFERS = tuple(SPEC.buffers)

DONE, REFUSED, TRY_AGAIN = ToolOutcome.DONE, ToolOutcome.REFUSED, ToolOutcome.TRY_AGAIN


@pytest.fixture
def host() -> Hypervisor:
    return host_of(SPEC, replace(PV, name="db"))


@pytest.fixture
def tools(host: Hypervisor) -> Toolstack:
    return Toolstack(host)


@pytest.fixture
def nic(host: Hypervisor) -> Device:
    return host.devices[NIC]


def buffers(host: Hypervisor) -> list[int]:
    """What is in the buffers of the device, wherever they are."""
    words: list[int] = host.memory.read(frames_of(host.domains[FIRST], BUFFERS)).tolist()
    return words


def test_a_device_writes_to_its_buffers_and_the_guest_knows(
    host: Hypervisor, rng: Generator
) -> None:
    before = buffers(host)
    host.work(rng)
    assert (set(before) & set(buffers(host)), host.guests[FIRST].verify()) == (set(), 0)


def test_a_device_goes_on_when_the_guest_stops(host: Hypervisor, rng: Generator) -> None:
    host.domains[FIRST].state = DomainState.SUSPENDED
    before = buffers(host)
    host.work(rng)
    assert not set(before) & set(buffers(host))


def test_a_device_writes_to_nothing_else(host: Hypervisor, rng: Generator) -> None:
    others = np.setdiff1d(np.arange(4096), frames_of(host.domains[FIRST], BUFFERS))
    before = host.memory.read(others).tolist()
    host.work(rng)
    assert host.memory.read(others).tolist() == before


def test_a_page_that_moved_without_a_detach_is_corrupted(host: Hypervisor, rng: Generator) -> None:
    """The device was not told, and writes where the buffer was."""
    old = pend(host, FIRST, *BUFFERS)
    host.move(host.domains[FIRST], old)
    host.work(rng)
    assert host.guests[FIRST].verify() == 4


def test_a_page_that_moved_while_the_device_was_away_is_well(
    host: Hypervisor, tools: Toolstack, rng: Generator
) -> None:
    tools.detach(FIRST, NIC)
    host.move(host.domains[FIRST], pend(host, FIRST, *BUFFERS))
    tools.attach(FIRST, NIC)
    host.work(rng)
    assert host.guests[FIRST].verify() == 0


def test_a_detached_device_writes_nothing(
    host: Hypervisor, tools: Toolstack, rng: Generator
) -> None:
    tools.detach(FIRST, NIC)
    before = buffers(host)
    host.work(rng)
    assert (buffers(host), host.domains[FIRST].devices) == (before, ())


def test_a_device_of_a_destroyed_domain_writes_nothing(host: Hypervisor, rng: Generator) -> None:
    frames = frames_of(host.domains[FIRST], BUFFERS)
    host.destroy(host.domains[FIRST])
    before = host.memory.read(frames).tolist()
    host.work(rng)
    assert host.memory.read(frames).tolist() == before


def test_a_device_that_comes_back_leaves_out_what_the_guest_gave_up(
    host: Hypervisor, tools: Toolstack, rng: Generator
) -> None:
    tools.detach(FIRST, NIC)
    tools.balloon(FIRST, frames_of(host.domains[FIRST], BUFFERS[:2]).tolist())
    tools.attach(FIRST, NIC)
    last = host.memory.read(np.array([4095])).tolist()
    host.work(rng)
    assert (host.guests[FIRST].verify(), host.memory.read(np.array([4095])).tolist()) == (0, last)


@pytest.mark.parametrize("call", ["detach", "attach"])
def test_what_is_done_already_is_done(tools: Toolstack, call: str) -> None:
    replies = [getattr(tools, call)(FIRST, NIC).outcome for _ in range(2)]
    assert replies == [DONE, DONE]


def test_a_device_that_is_attached_twice_is_there_once(host: Hypervisor, tools: Toolstack) -> None:
    tools.attach(FIRST, NIC)
    host.assign(host.devices[NIC], host.domains[FIRST])
    assert host.domains[FIRST].devices == (NIC,)


@pytest.mark.parametrize("call", ["detach", "attach"])
@pytest.mark.parametrize(
    ("domid", "device", "reason"),
    [
        (FIRST, "gpu", "domain 1 has no device gpu"),
        (SECOND, NIC, "domain 2 has no device nic0"),
    ],
)
def test_a_device_that_is_not_the_guests_is_refused(
    tools: Toolstack, call: str, domid: int, device: str, reason: str
) -> None:
    reply = getattr(tools, call)(domid, device)
    assert (reply.outcome, reply.reason) == (REFUSED, reason)


@pytest.mark.parametrize("call", ["detach", "attach"])
def test_nobody_has_no_device(tools: Toolstack, call: str) -> None:
    assert getattr(tools, call)(9, NIC).outcome is ToolOutcome.NO_SUCH_DOMAIN


def test_a_suspended_guest_cannot_let_go(tools: Toolstack, host: Hypervisor) -> None:
    tools.suspend(FIRST)
    assert (tools.detach(FIRST, NIC).outcome, host.domains[FIRST].devices) == (TRY_AGAIN, (NIC,))


def test_a_guest_may_refuse_to_let_go(tools: Toolstack, host: Hypervisor, nic: Device) -> None:
    nic.may_leave = False
    assert (tools.detach(FIRST, NIC).outcome, host.domains[FIRST].devices) == (REFUSED, (NIC,))


def test_a_guest_that_starts_later_finds_its_device_here() -> None:
    layout = Layout(2048, 0, 0, (PV,), away=(SPEC,))
    host = Hypervisor(layout, Content(layout.frames))
    domain = host.create(host.newborn(SPEC))
    assert domain is not None
    assert Toolstack(host).attach(domain.domid, NIC).outcome is DONE


def test_a_smaller_guest_of_that_name_has_what_it_has_of_the_buffers(tools: Toolstack) -> None:
    tools.destroy(FIRST)
    domid = tools.create(SPEC.name, SPEC.kind, 2).domid
    assert domid is not None
    assert tools.attach(domid, NIC).outcome is DONE
