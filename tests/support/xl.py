"""A toolstack without a Xen: domains that `xl` lists, and commands that do something to them."""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.adapters.xen.xl import Ran, Xl

PINNED = """\
Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)
Domain-0                             0     0    0   r--      12.3  0 / all
Domain-0                             0     1    1   -b-      10.1  1 / all
"""
HERE = min(os.sched_getaffinity(0))  # a CPU that a thread of this test may run on
UUID_OF_DB = "6f3c9a5e-0000-4000-8000-000000000001"


def pinned_to(vcpu: int, cpus: str) -> str:
    """What `xl vcpu-list` says of a dom0 whose one vCPU is pinned there."""
    return PINNED.splitlines()[0] + f"\nDomain-0   0   {vcpu}   1   -b-   1.0  {cpus} / all\n"


@dataclass
class Dom:
    """One domain, as both listings tell it."""

    domid: int
    name: str = "db"
    kind: str = "pv"
    state: str = "-b----"
    mebibytes: int = 192
    uuid: str = UUID_OF_DB
    devices: list[dict[str, int]] = field(default_factory=list)

    @property
    def row(self) -> str:
        numbers = f"{self.domid:>5} {self.mebibytes:>5}     1"
        return f"{self.name:<40} {numbers}     {self.state}      3.1"

    @property
    def entry(self) -> dict[str, object]:
        identity = {"type": self.kind, "name": self.name, "uuid": self.uuid}
        config: dict[str, object] = {"c_info": identity, "b_info": {"max_vcpus": 1}}
        devices = {"pcidevs": self.devices} if self.devices else {}
        return {"domid": self.domid, "config": config | devices}


@dataclass(slots=True)
class ScriptedXl(Xl):
    """`acts` say what a command does, by its word; without one it succeeds and does nothing."""

    domains: list[Dom] = field(default_factory=lambda: [Dom(1)])
    vcpus: str = PINNED
    free_mebibytes: int = 1000
    acts: dict[str, Callable[[Sequence[str]], Ran]] = field(
        default_factory=dict[str, Callable[[Sequence[str]], Ran]]
    )
    given: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    holding: asyncio.Event | None = None  # commands wait for it

    async def _run(self, arguments: Sequence[str], *, ends_with_us: bool) -> Ran:
        match tuple(arguments):
            case ("list",):
                return Ran(0, "Name   ID   Mem VCPUs\tState\tTime(s)\n" + self._rows())
            case ("list", "-l"):
                return Ran(0, json.dumps([one.entry for one in self.domains]))
            case ("info",):
                return Ran(0, f"host: xen\nfree_memory: {self.free_mebibytes}\n")
            case ("vcpu-list", "0"):
                return Ran(0, self.vcpus)
            case command:
                self.given.append(command)
                if self.holding is not None:
                    await self.holding.wait()
                act = self.acts.get(command[0])
                return Ran(0) if act is None else act(command)

    def _rows(self) -> str:
        dom0 = Dom(0, "Domain-0", state="r-----", mebibytes=1024)
        return "\n".join(one.row for one in (dom0, *self.domains)) + "\n"

    def saves(self, code: int = 0, *, says: str = "", leaves: bool = True) -> None:
        """`xl save` writes the image, and the domain is gone if that went well."""

        def save(command: Sequence[str]) -> Ran:
            Path(command[2]).write_bytes(b"memory")
            if leaves:
                self.domains = []
            return Ran(code, err=says)

        self.acts["save"] = save

    def restores(self, domid: int = 2, code: int = 0, *, says: str = "") -> None:
        def restore(_: Sequence[str]) -> Ran:
            if code == 0:
                self.domains = [Dom(domid)]
            return Ran(code, err=says)

        self.acts["restore"] = restore


def a_scripted_xl(**changes: object) -> ScriptedXl:
    known: dict[str, object] = {"processes": Path("/nonexistent")} | changes
    return ScriptedXl(5.0, 0.05, **known)  # type: ignore[arg-type] # names of fields
