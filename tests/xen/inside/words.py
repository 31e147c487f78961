"""Run in dom0: do every case of the table, and print the raw answers, one JSON line a case.

python3 -m tests.xen.inside.words DOMID
"""

import json
import sys

from tests.xen.inside import finding, libxc
from tests.xen.table import CASES, answers


def main(domid: int) -> None:
    places = finding.places(domid)
    for case in CASES:
        mfn = places.get(case.kind)
        got = None if mfn is None else answers(case, mfn, libxc.call)
        say({"title": case.title, "mfn": mfn, "answers": got})


def say(line: object) -> None:
    sys.stdout.write(f"WORDS {json.dumps(line)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
