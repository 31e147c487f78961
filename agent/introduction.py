"""The host introduces itself: is it the one that we guard, and do we speak its language?

Both are asked before anything is done to it, and neither mends itself by waiting. So a wrong answer
ends the agent in one line, where silence is only trouble and asked again.
"""

from pathlib import Path

from agent.contract.errors import AgentError
from agent.contract.hypercall import HostReply

# The calls of the 2008 design. Real Xen's (`xen-4.17`) are driven by `adapters.xen`, from its dom0
# and not by a socket, with other manners: its ranges stop half-way, and it crashes the owner of a
# broken page that is asked for again.
DRIVEN = ("thread",)


def modules_of(host: HostReply) -> dict[str, str]:
    """Which DIMM is in which slot, as far as the host says: the part and serial of each label."""
    return {module.label: module.identity for module in host.modules if module.identity}


def checked(host: HostReply, name: str, socket: Path) -> HostReply:
    """`host`, which answered at `socket`, if it is host `name` and of a kind that we drive.

    Raises:
        AgentError: if it is not.
    """
    if host.host != name:
        raise AgentError(
            f"host is {name!r} in the configuration, but the hypervisor at {socket} is host "
            f"{host.host!r}: correct one"
        )
    if host.personality not in DRIVEN:
        raise AgentError(
            f"the hypervisor at {socket} answers as {host.personality!r}, and this agent drives "
            f"only {' and '.join(map(repr, DRIVEN))}: set hypervisor.hypercall_socket to such a "
            f'host, or host.personality = "{DRIVEN[0]}" in config/emulator.toml'
        )
    return host
