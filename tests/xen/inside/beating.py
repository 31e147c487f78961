"""Run in dom0: hear the PVH guest's heartbeat, and speak for it to the toolstack.

    python3 -m tests.xen.inside.beating FILE

A line a beat: when it was heard, in seconds of dom0, and the count. A kernel with a driver for it
would see by itself that it is to stop for a save; this one is told by a word of its memory. The
guest's page is mapped only while it is read, or its domain could not go.
"""

import sys
import time
from contextlib import closing
from pathlib import Path

from tests.xen.inside.living import COUNT, PAGE, STOP
from tests.xen.inside.memory import Memory
from tests.xen.inside.store import Store

NAME = "lives"
SECONDS = 0.05


def main(file: str) -> None:
    memory, last = Memory(), 0
    with closing(Store()) as store, Path(file).open("a", encoding="ascii") as beats:
        while True:
            domid = store.domid(NAME)
            count = None if domid is None else heard(memory, store, domid)
            if count is not None and count != last:
                beats.write(f"{time.monotonic():.2f} {count}\n")
                beats.flush()
                last = count
            time.sleep(SECONDS)


def heard(memory: Memory, store: Store, domid: int) -> int | None:
    """The count, if the domain is still there; and what it is told, if it is to stop."""
    asked = f"/local/domain/{domid}/control/shutdown"
    with memory.page(domid, PAGE) as words:
        if words is None:
            return None
        if store.read(asked) == "suspend":
            store.write(asked, "")
            words[STOP // 4] = 1
        return int(words[COUNT // 4])


if __name__ == "__main__":
    main(sys.argv[1])
