"""Debian's packages, fetched and unpacked by apt's and dpkg's own means, nothing installed.

apt is told that no package is installed, so that it fetches all that dom0 needs and not only what
this machine lacks; from where, this machine's own settings say. Unpacked is not installed: no
script of a package runs, which is enough for a system that starts a handful of programs by hand.
"""

import shutil
import subprocess
from pathlib import Path

from tests.xen.trouble import LabError

HYPERVISOR = "xen-hypervisor-4.17-amd64"
WANTED = (
    HYPERVISOR,
    "xen-utils-4.17",
    "xenstore-utils",
    "libxenmisc4.17",
    "linux-image-amd64",
    "python3",
    "mosquitto",
    "busybox-static",
    "base-files",
    "coreutils",
    "dash",
    "grep",
    "libc-bin",
    "libstdc++6",
    "mount",
    "procps",
    "systemd",
    "util-linux",
)
NEEDED = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "mke2fs": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
}


def check_programs() -> None:
    """All that runs here is there.

    Raises:
        LabError: naming the package that brings what is missing.
    """
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            raise LabError(f"{program} is not installed: apt-get install {package}")


def fetch(folder: Path) -> list[Path]:
    """The packages and all that they depend on, in `folder`."""
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    none_installed = folder / "none-installed"
    none_installed.touch()
    settings = {
        "Dir::State::status": none_installed,
        "Dir::Cache::archives": folder,
        "Dir::Cache::pkgcache": folder / "pkgcache.bin",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{key}={value}" for key, value in settings.items()]
    ask = ["install", "--yes", "--no-install-recommends", "--download-only", *WANTED]
    done = subprocess.run(["apt-get", "-qq", *options, *ask], capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise LabError(
            f"apt cannot fetch Xen 4.17 ({' '.join(why)}): this needs the sources of Debian 12"
            " and lists that are fresh (apt-get update)"
        )
    return sorted(folder.glob("*.deb"))


def unpack(packages: list[Path], root: Path) -> None:
    """Where the packages say: /bin and /lib beside /usr, which Debian merges when it installs."""
    for package in packages:
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
