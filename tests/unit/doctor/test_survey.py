"""What the doctor gathers, from a machine that is a folder and a Xen that is a script."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from agent.adapters.xen.opening import driven_release
from agent.adapters.xen.releases import Release
from agent.config import AgentConfig
from agent.contract.errors import AgentError
from agent.doctor.facts import Daemon, Facts
from agent.doctor.survey import Survey, disk_of, setting, why_no_broker
from tests.support.xen_library import EmulatedLibrary
from tests.support.xl import a_scripted_xl


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dom0 of Debian's Xen."""
    write(tmp_path, "sys/hypervisor/type", "xen\n")
    for part, text in {"major": "4\n", "minor": "17\n", "extra": ".7\n"}.items():
        write(tmp_path, f"sys/hypervisor/version/{part}", text)
    write(tmp_path, "proc/xen/capabilities", "control_d\n")
    write(tmp_path, "proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


async def facts(root: Path, **hypervisor: object) -> Facts:
    config = AgentConfig.model_validate(
        {
            "host": "hv-1",
            "hypervisor": {"kind": "xen", "images": str(root / "images")} | hypervisor,
            "broker": {"url": "mqtt://127.0.0.1:1"},
        }
    )
    survey = Survey(config, a_scripted_xl(), root, lambda _: EmulatedLibrary())
    return await survey.facts()


async def test_a_dom0_is_seen_with_its_guests(root: Path) -> None:
    found = await facts(root)
    assert found.xen is not None
    assert (found.xen.release, found.xen.is_dom0, found.xen.library) == (
        Release(4, 17, 7),
        True,
        "",
    )
    assert found.xen.largest is not None
    assert (found.xen.largest.info.name, found.xen.free_pages) == ("db", 256_000)
    assert (found.vendor, found.hypervisor) == ("AuthenticAMD", "")


@pytest.mark.parametrize("is_there", [False, True])
async def test_the_folder_of_xl_is_looked_for(root: Path, is_there: bool) -> None:
    if is_there:
        (root / "var/run/xen").mkdir(parents=True)
    found = await facts(root)
    assert found.xen is not None
    assert found.xen.keeps_state is is_there


async def test_without_a_xen_nothing_is_asked_of_one(tmp_path: Path) -> None:
    assert (await facts(tmp_path)).xen is None


async def test_a_domain_that_controls_nothing_asks_nothing(root: Path) -> None:
    write(root, "proc/xen/capabilities", "\n")
    found = await facts(root)
    assert found.xen is not None
    assert (found.xen.is_dom0, found.xen.vcpus) == (False, None)


async def test_an_emulated_host_that_does_not_answer_is_a_fact(root: Path) -> None:
    found = await facts(root, kind="emulated", hypercall_socket=str(root / "none.sock"))
    assert "none.sock" in found.hypervisor


@pytest.mark.parametrize(
    ("file", "text", "daemon"),
    [
        ("etc/none", "", Daemon("mcelog", "soft")),
        ("etc/mcelog/mcelog.conf", "# memory-ce-action = off\n", Daemon("mcelog", "soft")),
        ("etc/mcelog/mcelog.conf", "memory-ce-action = account\n", Daemon("mcelog", "account")),
    ],
)
async def test_what_mcelog_does_about_a_page_is_in_its_file_or_its_default(
    root: Path, file: str, text: str, daemon: Daemon
) -> None:
    write(root, "proc/77/comm", "mcelog\n")
    write(root, file, text)
    assert (await facts(root)).daemons == (daemon,)


async def test_a_program_that_does_not_run_acts_on_nothing(root: Path) -> None:
    write(root, "etc/default/rasdaemon", 'PAGE_CE_ACTION="soft"\n')
    assert (await facts(root)).daemons == ()


def test_the_last_setting_counts_and_quotes_do_not() -> None:
    text = 'PAGE_CE_ACTION="Soft"\n#PAGE_CE_ACTION=off\nPAGE_CE_ACTION="account"\nOTHER=1\n'
    assert setting(text, "PAGE_CE_ACTION") == "account"


def test_a_broker_is_there_if_it_accepts_a_connection() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert not why_no_broker(f"mqtt://127.0.0.1:{port}")
    assert "does not answer" in why_no_broker(f"mqtt://127.0.0.1:{port}")


@pytest.mark.parametrize(("kind", "is_memory"), [("ext4", False), ("tmpfs", True)])
def test_a_folder_that_is_to_be_made_lies_where_the_one_above_it_does(
    root: Path, kind: str, is_memory: bool
) -> None:
    write(root, "proc/mounts", f"/dev/a / ext4 rw 0 0\nb {root} {kind} rw 0 0\n")
    found = disk_of(root / "not" / "yet", root)
    assert found is not None
    assert found.is_memory is is_memory
    assert found.free_bytes > 0


def test_the_release_that_runs_is_driven(root: Path) -> None:
    assert driven_release(root) == Release(4, 17, 7)


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("sys/hypervisor/type", "kvm\n", "runs under no Xen"),
        ("proc/xen/capabilities", "\n", "does not control its Xen"),
        ("sys/hypervisor/version/minor", "19\n", "Xen 4.19.7 runs here, and what it answers"),
        ("sys/hypervisor/version/major", "four\n", "not a version of Xen: 'four.17.7'"),
    ],
)
def test_a_xen_that_we_do_not_drive_is_refused_in_one_line(
    root: Path, file: str, text: str, why: str
) -> None:
    write(root, file, text)
    with pytest.raises(AgentError, match=why):
        driven_release(root)
