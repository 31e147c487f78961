"""Guests on disk: which wait to be restored.

    <image>@<uuid>@<when it was stopped, ns>.xl

A domain is destroyed only after the last byte of it was written. So an image whose guest lives is
either unfinished or used up, and one whose guest does not is whole, whatever became of the agent
that had it written. Nothing else need be remembered; the name of the file is all there is to know.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from agent.contract.errors import AgentError

_FILE = re.compile(r"^(?P<name>[A-Za-z0-9._-]{1,64})@(?P<uuid>[0-9a-f-]{36})@(?P<ns>\d{1,20})\.xl$")

SPARE_BYTES = 64 << 20  # beside its memory, an image holds a guest's registers and configuration


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    uuid: UUID
    stopped_ns: int
    path: Path


@dataclass(frozen=True, slots=True)
class Images:
    """In one folder, which must lie on a disk: a guest that is only there must survive a crash."""

    folder: Path

    def make_folder(self) -> None:
        """For root alone: an image is all that its guest had in memory.

        Raises:
            AgentError: if it cannot be had.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(
                f"hypervisor.images: {self.folder} cannot be made: {error.strerror}"
            ) from None

    def path(self, name: str, uuid: UUID, now_ns: int) -> Path:
        return self.folder / f"{name}@{uuid}@{now_ns}.xl"

    def named(self, name: str) -> Image | None:
        """The latest of that name."""
        found = (image for image in self._all() if image.name == name)
        return max(found, key=lambda image: image.stopped_ns, default=None)

    def waiting(self, alive: Iterable[UUID]) -> tuple[str, ...]:
        """The names of those whose guests are nowhere else."""
        living = set(alive)
        return tuple(sorted({image.name for image in self._all() if image.uuid not in living}))

    def forget(self, name: str) -> None:
        """Its guest is alive, so it is of no use, and does no harm where it cannot be removed."""
        for image in self._all():
            if image.name == name:
                with suppress(OSError):
                    image.path.unlink()

    def free_bytes(self) -> int:
        """None of them, where the folder cannot be looked at."""
        with suppress(OSError):
            return shutil.disk_usage(self.folder).free
        return 0

    def _all(self) -> Iterator[Image]:
        with suppress(OSError):
            for path in list(self.folder.iterdir()):
                if found := _FILE.match(path.name):
                    with suppress(ValueError):
                        yield Image(found["name"], UUID(found["uuid"]), int(found["ns"]), path)


def settle(path: Path) -> None:
    """Have what was written survive a power cut."""
    with suppress(OSError), path.open("rb") as file:
        os.fsync(file.fileno())
