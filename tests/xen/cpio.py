"""An initramfs: a cpio archive in the form "newc" that the kernel reads, gzipped.

Written here because the program cpio is on few machines, and the form is a page long
(Documentation/driver-api/early-userspace/buffer-format.rst in Linux).
"""

import gzip
from collections.abc import Mapping
from itertools import count

_FOLDER, _FILE = 0o040755, 0o100755
_END = "TRAILER!!!"


def initramfs(folders: tuple[str, ...], files: Mapping[str, bytes]) -> bytes:
    """Files are executable; a file's folder must be named before it."""
    inode = count(1)
    members = [_member(next(inode), name, _FOLDER, b"") for name in folders]
    members += [_member(next(inode), name, _FILE, content) for name, content in files.items()]
    members.append(_member(0, _END, 0, b""))
    return gzip.compress(b"".join(members), compresslevel=1, mtime=0)


def _member(inode: int, name: str, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
