"""Run in dom0: listen to the guest's heartbeat, and write down when each beat arrived.

python3 -m tests.xen.inside.listening FILE          one line a beat: dom0's seconds, the guest's
"""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CONSOLE = Path("/var/log/xen/console/guest-beats.log")
_BEAT = re.compile(r"BEAT \d+ (\d+\.\d+)\s*$")


def lines(path: Path) -> Iterator[str]:
    """Whole lines of a file that is written to, from its end on."""
    with path.open(encoding="ascii", errors="replace") as console:
        console.seek(0, 2)
        begun = ""
        while True:
            begun += console.readline()
            if begun.endswith("\n"):
                yield begun
                begun = ""
            else:
                time.sleep(0.01)


def main(told: Path) -> None:
    with told.open("w", encoding="ascii") as out:
        for line in lines(CONSOLE):
            if beat := _BEAT.search(line):
                out.write(f"{time.monotonic():.3f} {beat[1]}\n")
                out.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
