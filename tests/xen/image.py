"""What is booted: Xen, dom0's kernel, its initramfs and disk, and the guest's initramfs.

Built once and kept outside the repository, in a folder named after all that goes into it. What
changes with every run (the agent's wheel, the programs for dom0) goes in on a second disk, so that
a change of code builds nothing here. `rm -r` of the folder has the packages fetched anew.
"""

import compileall
import gzip
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.xen import cpio, modules, packages
from tests.xen.trouble import LabError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INSIDE = HERE / "inside"
LOCK = ROOT / "requirements.lock"
DISK_BYTES = 2 << 30  # sparse; a guest is saved there
MODULES = (
    "virtio_pci",
    "virtio_blk",
    "crc32c_generic",  # which ext4 asks for by itself, and names nowhere else
    "ext4",
    "xen-privcmd",
    "xen-evtchn",
    "xenfs",
    "xen-gntdev",
    "xen-gntalloc",
)
PYTHON = "3.11"  # dom0's
KEPT_SECONDS = 30 * 86_400  # after its last use; 200 MB each
UNREAD = ("usr/share/doc", "usr/share/man", "usr/share/locale", "lib/modules", "boot")


@dataclass(frozen=True, slots=True)
class Image:
    folder: Path

    @property
    def xen(self) -> Path:
        return self.folder / "xen"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        return self.folder / "dom0.img"

    @property
    def disk(self) -> Path:
        return self.folder / "dom0.ext4"


def cache() -> Path:
    """`PAGEWARDEN_XEN_CACHE`, or a folder in the user's cache."""
    chosen = os.environ.get("PAGEWARDEN_XEN_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "pagewarden-xen"


def image() -> Image:
    """The image for this tree, built if it is not there yet."""
    packages.check_programs()
    made = Image(cache() / f"image-{_digest()}")
    if not made.folder.exists():
        with _finished(made.folder) as folder:
            _build(Image(folder))
    made.folder.touch()
    forget_old(cache(), time.time())
    return made


def forget_old(folder: Path, now: float) -> None:
    """Remove the images that nobody has used for `KEPT_SECONDS`; each use touches its folder."""
    for each in folder.glob("image-*"):
        if now - each.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(each)


def _digest() -> str:
    """Of the recipe: these files say all that goes in, packages apart."""
    recipe = (Path(__file__), HERE / "packages.py", HERE / "cpio.py", HERE / "modules.py", LOCK)
    parts = [path.read_bytes() for path in (*recipe, *sorted(INSIDE.glob("*.sh")))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


@contextmanager
def _finished(folder: Path) -> Iterator[Path]:
    """A folder that gets its name when all is in it: a build that was cut short is none."""
    begun = folder.with_suffix(".begun")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    yield begun
    begun.rename(folder)


def _build(made: Image) -> None:
    root = made.folder / "root"
    packages.unpack(packages.fetch(cache() / "packages"), root)
    _boot_files(made, root)
    made.initramfs.write_bytes(_dom0_initramfs(root))
    _dom0_root(made, root)
    filled = ["-E", "root_owner=0:0", "-d", str(root), str(made.disk), str(DISK_BYTES // 1024)]
    made_by = ["mke2fs", "-q", "-F", "-t", "ext4", *filled]
    subprocess.run(made_by, capture_output=True, check=True)
    shutil.rmtree(root)


def _boot_files(made: Image, root: Path) -> None:
    """Xen as the ELF that QEMU's multiboot loader takes, and dom0's kernel."""
    (packed,) = (root / "boot").glob("xen-*.gz")
    made.xen.write_bytes(gzip.decompress(packed.read_bytes()))
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, made.kernel)


def _dom0_initramfs(root: Path) -> bytes:
    files = {"bin/busybox": _busybox(root), "init": (INSIDE / "start.sh").read_bytes()}
    loaded = modules.in_order(root / "lib/modules", MODULES)
    for number, path in enumerate(loaded):
        files[f"modules/{number:02}-{path.name}"] = path.read_bytes()
    return cpio.initramfs(("bin", "modules"), files)


def _guest_initramfs(root: Path) -> bytes:
    files = {"bin/busybox": _busybox(root), "init": (INSIDE / "guest.sh").read_bytes()}
    return cpio.initramfs(("bin", "dev", "proc"), files)


def _busybox(root: Path) -> bytes:
    return (root / "bin/busybox").read_bytes()


def _dom0_root(made: Image, root: Path) -> None:
    """The rest of dom0's disk, and away with what nobody reads there."""
    lab = root / "lab"
    lab.mkdir()
    shutil.copy(INSIDE / "dom0.sh", lab / "dom0.sh")
    (lab / "dom0.sh").chmod(0o755)
    shutil.copy(made.kernel, lab / "guest-kernel")
    (lab / "guest.img").write_bytes(_guest_initramfs(root))
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")
    (root / "etc/group").write_text("root:x:0:\n", encoding="ascii")
    _libraries(root / "usr/lib/pagewarden")
    compile_all(root / "usr/lib/pagewarden")
    compile_all(root / f"usr/lib/python{PYTHON}")
    for unread in UNREAD:
        shutil.rmtree(root / unread, ignore_errors=True)


def compile_all(folder: Path) -> None:
    """Byte code for dom0, which is slow at it. Another Python's would be of no use there."""
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, quiet=2, invalidation_mode=mode)


def _libraries(folder: Path) -> None:
    """What the agent stands on, by the lock and its hashes, for dom0's Python."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    which = ["--python-version", PYTHON, "--only-binary", ":all:", "--no-deps", "--no-compile"]
    done = subprocess.run(
        [*pip, *which, "--target", folder, "--require-hashes", "-r", LOCK],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise LabError(f"pip cannot fetch what {LOCK.name} names: {' '.join(why)}")
