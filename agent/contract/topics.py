"""Names on the bus. One host has these topics, and its name is a level of each:

pagewarden/v1/<host>/ereports      source → agent   batches of ereports, QoS 1
pagewarden/v1/<host>/applied       agent → source   how far the agent has applied them, retained
pagewarden/v1/<host>/resend        agent → source   which ones are missing: send them again
pagewarden/v1/<host>/inventory     source → agent   what memory the host has, retained
pagewarden/v1/<host>/cases/<case>  agent → all      where that case is, retained
"""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

ROOT = "pagewarden/v1"
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def checked_host(name: str) -> str:
    """`name` unchanged, if it can stand as one level of a topic.

    Raises:
        ValueError: for an empty name, one over 128 characters, or one with `/`, `+`, `#`, ….
    """
    if not _HOST.fullmatch(name):
        raise ValueError(
            "a host name is 1 to 128 letters, digits, dots, dashes or underscores "
            f"and starts with a letter or digit (got {name!r})"
        )
    return name


HostName = Annotated[
    str,
    AfterValidator(checked_host),
    WithJsonSchema({"type": "string", "pattern": f"^{_HOST.pattern}$"}),
]


def ereports(host: str) -> str:
    return f"{ROOT}/{host}/ereports"


def applied(host: str) -> str:
    return f"{ROOT}/{host}/applied"


def resend(host: str) -> str:
    return f"{ROOT}/{host}/resend"


def inventory(host: str) -> str:
    return f"{ROOT}/{host}/inventory"


def case(host: str, case_id: str) -> str:
    return f"{ROOT}/{host}/cases/{case_id}"
