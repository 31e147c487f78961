"""What `xl` of a real Xen 4.17.7 printed, shortened; and what it might."""

import json

import pytest

from agent.adapters.xen.listing import address_of, free_pages, guests, rows
from agent.contract.errors import PeerError
from agent.contract.toolstack import DomainState, GuestKind

TABLE = """\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0  1024     2     r-----      63.9
domu                                         3   192     1     {}       0.4
"""
DETAILS = """\
[
    {"domid": 0, "config": {"c_info": {"type": "pv", "name": "Domain-0"},
        "b_info": {"max_memkb": 1048576, "sched_params": {"sched": "credit2"}, "type.pv": {}}}},
    {"domid": 3, "config": {
        "c_info": {"type": "pv", "name": "domu", "domid": 4294967295,
            "uuid": "4d21842a-e8ac-11f1-872b-1b037737efa8", "run_hotplug_scripts": "True"},
        "b_info": {"max_vcpus": 1, "claim_mode": "True", "arch_x86": {"msr_relaxed": "False"}},
        "on_crash": "preserve"}}
]
"""
INFO = """\
total_memory           : 3071
free_memory            : 2014
xen_commandline        : com1=115200,8n1 console=com1 free_memory=7
"""


def test_dom0_is_no_guest_and_a_guest_is_read_from_both() -> None:
    (guest,) = guests(TABLE.format("-b----"), DETAILS)
    assert (guest.info.domid, guest.info.name, guest.info.kind) == (3, "domu", GuestKind.PV)
    assert str(guest.uuid) == "4d21842a-e8ac-11f1-872b-1b037737efa8"
    assert guest.bytes == 192 << 20


@pytest.mark.parametrize(
    ("letters", "state"),
    [
        ("r-----", DomainState.RUNNING),
        ("-b----", DomainState.RUNNING),
        ("------", DomainState.RUNNING),
        ("--p---", DomainState.SUSPENDED),
        ("---ss-", DomainState.SUSPENDED),
        ("---sc-", DomainState.CRASHED),
        ("---sw-", DomainState.CRASHED),
        ("---s--", DomainState.DYING),
        ("---sr-", DomainState.DYING),
        ("-b---d", DomainState.DYING),
        ("---ssd", DomainState.DYING),
    ],
)
def test_a_state_is_six_letters_at_six_places(letters: str, state: DomainState) -> None:
    """The fifth says why it is shut down: suspended is not ended."""
    assert guests(TABLE.format(letters), DETAILS)[0].info.state is state


def test_a_name_may_hold_anything_but_a_line() -> None:
    (row,) = rows("a 1 guest 2 b                             3   192     1     -b----       0.4\n")
    assert (row.domid, row.name, row.mebibytes) == (3, "a 1 guest 2 b", 192)


def test_a_guest_that_xl_did_not_make_is_not_told() -> None:
    """It cannot be saved by `xl`, so nobody shall think that it can."""
    assert not guests(TABLE.format("-b----"), "[]")


@pytest.mark.parametrize("details", ["{", "[1]", '[{"domid": "x"}]', "[" * 100_000])
def test_what_is_no_listing_is_refused_in_one_line(details: str) -> None:
    with pytest.raises(PeerError, match=r"^xl list -l cannot be read: [^\n]+$"):
        guests(TABLE.format("-b----"), details)


def test_a_device_on_bus_0_has_no_bus_in_the_listing() -> None:
    entries = json.loads(DETAILS)
    entries[1]["config"]["pcidevs"] = [{"dev": 3}, {"bus": 0x1F, "dev": 0x1E, "func": 7}]
    (guest,) = guests(TABLE.format("-b----"), json.dumps(entries))
    assert guest.info.devices == ("pci-0000-00-03.0", "pci-0000-1f-1e.7")
    addresses = [address_of(device) for device in guest.info.devices]
    assert addresses == ["0000:00:03.0", "0000:1f:1e.7"]


@pytest.mark.parametrize("device", ["nvme0", "pci-0-0-0.0", "pci-0000-03-00.8", "0000:03:00.0"])
def test_a_name_that_is_no_device_of_ours_has_no_address(device: str) -> None:
    assert address_of(device) is None


def test_free_memory_is_the_hosts_and_in_pages() -> None:
    assert free_pages(INFO) == 2014 * 256


@pytest.mark.parametrize("info", ["", "free_memory : lots\n"])
def test_a_host_that_does_not_say_what_is_free_is_not_guessed_at(info: str) -> None:
    with pytest.raises(PeerError, match="how much memory is free"):
        free_pages(info)
