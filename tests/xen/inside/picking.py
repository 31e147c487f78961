"""Run in dom0: pages of each kind for the agent to lose, found without asking for any of them.

    python3 -m tests.xen.inside.picking DOMID COUNT

Only the tables of owners are read, so that each page's first offline request is the agent's.
"""

import json
import sys

from tests.xen.inside import libxc

_LOW = 0x6000  # nobody's, and given to nobody while higher memory is left


def pages(domid: int, count: int) -> dict[str, list[int]]:
    """`count` plain pages of the guest, spread over it, and one each of dom0's and of nobody's."""
    owners = libxc.m2p()
    guests = libxc.owned(domid)
    plain = [mfn for mfn, type_ in guests.items() if type_ == 0]
    dom0s = [mfn for mfn, own in enumerate(owners) if own != libxc.NOBODYS and mfn not in guests]
    step = len(plain) // (count + 1)
    return {
        "free": [next(mfn for mfn in range(_LOW, libxc.frames()) if owners[mfn] == libxc.NOBODYS)],
        "dom0": [dom0s[len(dom0s) // 2]],
        "guest": [plain[step * number] for number in range(1, count + 1)],
    }


if __name__ == "__main__":
    sys.stdout.write(f"PAGES {json.dumps(pages(int(sys.argv[1]), int(sys.argv[2])))}\n")
