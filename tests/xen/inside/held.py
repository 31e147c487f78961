"""Run in dom0: which of these pages the guest has. `python3 -m tests.xen.inside.held DOMID MFN…`"""

import json
import sys

from tests.xen.inside import libxc

if __name__ == "__main__":
    domid, *asked = map(int, sys.argv[1:])
    owned = libxc.owned(domid)
    sys.stdout.write(f"HELD {json.dumps([mfn for mfn in asked if mfn in owned])}\n")
