"""Run in dom0: tell of corrected errors, two in each of these pages, as a source would.

    python3 -m tests.xen.inside.erring MFN…          decimal

The machine's banks are read on an Intel processor alone here, and PVH guests need AMD's.
"""

import json
import sys
import time
from uuid import uuid4

from paho.mqtt import publish

TOPIC = "pagewarden/v1/xen-lab/ereports"


def main(mfns: list[int]) -> None:
    plain = {"host": "xen-lab", "boot_id": str(uuid4()), "time_ns": time.time_ns(), "count": 1}
    told = [
        plain | {"seq": seq, "address": mfn << 12}
        for seq, mfn in enumerate(mfn for mfn in mfns for _ in range(2))
    ]
    publish.single(TOPIC, json.dumps(told), qos=1, hostname="127.0.0.1")
    sys.stdout.write(f"ERRORS {len(told)}\n")


if __name__ == "__main__":
    main([int(mfn) for mfn in sys.argv[1:]])
