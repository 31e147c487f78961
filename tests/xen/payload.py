"""What goes into dom0 anew with every run: the agent's wheel, installed, and the lab's programs.

A tar on a disk of its own. A wheel without compiled parts is installed by unpacking it; its
commands are asked for as `python3 -m agent`.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.xen.image import HERE, ROOT, compile_all
from tests.xen.trouble import LabError


def payload(folder: Path) -> Path:
    tree = folder / "payload"
    zipfile.ZipFile(_wheel(folder)).extractall(tree)
    compile_all(tree)
    made = folder / "payload.tar"
    with tarfile.open(made, "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(tree, ".")
        tar.add(HERE, "tests/xen")
        tar.add(ROOT / "config/systemd", "config/systemd")
    return made


def _wheel(folder: Path) -> Path:
    """Built from this tree as it is."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    how = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    done = subprocess.run([*pip, *how, str(ROOT)], capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"the agent's wheel cannot be built: {done.stderr.decode()[-300:]}")
    (wheel,) = folder.glob("*.whl")
    return wheel
