"""A systemd of its own, booted in a container whose /usr is this machine's and whose rest is empty.

The shipped unit runs there as it stands, with a drop-in for the group of the hypervisor's sockets,
which it says has to be named. This checkout and the packages that run the tests are put where the
unit expects them.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 240
NSPAWN = (
    # In a world of processes of its own, so that all of it ends with this one.
    *("unshare", "--pid", "--mount-proc", "--fork", "--kill-child"),
    "systemd-nspawn",
    "--quiet",
    "--directory=/",
    "--volatile=yes",
    "--register=no",
    "--keep-unit",
    "--private-network",
    "--machine=pagewarden-test",
)
AS_BOOTED = (
    "--boot",
    "--console=pipe",
    "--",
    "systemd.firstboot=off",
    "systemd.mask=systemd-firstboot.service",
    "--unit=probe.service",
    "--show-status=no",
)

PROGRAM = f"""\
#!/bin/sh
export PYTHONPATH=/opt/src:/opt/packages LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor} -m agent "$@"
"""

CONFIG = """\
host = "hv-1"
[retirement]
mode = "observe"
[hypervisor]
hypercall_socket = "/run/world/hypercall.sock"
toolstack_socket = "/run/world/toolstack.sock"
"""

PROBE = """\
[Service]
Type=oneshot
ExecStart=/bin/bash /opt/world/probe
ExecStopPost=/bin/touch /out/done
StandardOutput=file:/out/probe.log
StandardError=inherit
"""


@dataclass(frozen=True, slots=True)
class Booted:
    """What the probe left behind."""

    out: Path

    def text(self, name: str) -> str:
        path = self.out / name
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def shown(self, name: str) -> dict[str, str]:
        """What `systemctl show` said, or /proc did."""
        lines = self.text(name).splitlines()
        pairs = (line.replace(":\t", "=", 1).partition("=") for line in lines)
        return {key: value for key, _, value in pairs}


def is_possible() -> bool:
    """Whether a container can be had here; only root can have one."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("systemd-nspawn", "mosquitto", "ip"))):
        return False
    done = subprocess.run([*NSPAWN, "--as-pid2", "true"], capture_output=True, check=False)
    return done.returncode == 0


def boot(folder: Path, unit: Path, *drop_ins: Path) -> Booted:
    """Boot, and let the probe do its work with `unit`; then cut the power."""
    out, world, units, opt = (folder / name for name in ("out", "world", "units", "opt"))
    for place in (out, world, units / f"{unit.name}.d", opt / ".venv" / "bin"):
        place.mkdir(parents=True)
    shutil.copy(unit, units)
    (units / "probe.service").write_text(PROBE)
    (units / f"{unit.name}.d" / "group.conf").write_text("[Service]\nSupplementaryGroups=xen\n")
    for drop_in in drop_ins:
        shutil.copy(drop_in, units / f"{unit.name}.d")
    (world / "agent.toml").write_text(CONFIG)
    shutil.copy(Path(__file__).with_name("systemd_probe.sh"), world / "probe")
    program = opt / ".venv" / "bin" / "pagewarden"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    read_only = {
        ROOT: "/opt/src",
        Path(sysconfig.get_path("purelib")): "/opt/packages",
        Path(sys.base_prefix): "/opt/python",
        opt: "/opt/pagewarden",
        world: "/opt/world",
        units: "/etc/systemd/system",
    }
    binds = [f"--bind-ro={here}:{there}" for here, there in read_only.items()]
    command = [*NSPAWN, *binds, f"--bind={out}:/out", *AS_BOOTED]
    with (folder / "console").open("wb") as console:
        machine = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console
        )
    try:
        _wait(machine, out / "done")
    finally:
        machine.kill()
        machine.wait()
    return Booted(out)


def _wait(machine: subprocess.Popen[bytes], done: Path) -> None:
    """Until the probe has ended, or the machine has, or patience: what is missing is told then."""
    deadline = time.monotonic() + SECONDS_MAX
    while machine.poll() is None and not done.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
