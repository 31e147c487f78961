"""Run in dom0: the raw word of each page, as a query answers it.

python3 -m tests.xen.inside.raw MFN…          decimal
"""

import json
import sys

from tests.xen.inside import libxc
from tests.xen.table import QUERY

if __name__ == "__main__":
    asked = {mfn: libxc.call(QUERY, int(mfn), int(mfn)) for mfn in sys.argv[1:]}
    sys.stdout.write(f"RAW {json.dumps(asked)}\n")
