"""What the emulated world is like: `config/emulator.toml`, each key there with its reason.

The defaults here and the values there are the same (a test compares them), so that an installed
emulator without any file is the documented one.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from agent.contract.ereport import BATCH_MAX
from agent.contract.toolstack import GuestKind
from agent.contract.topics import HostName
from emulator.scenario import FaultSettings, Guests, GuestSettings
from emulator.sizes import Size
from emulator.toml import Overrides, Settings, checked, read_table
from emulator.xen.defects import DefectId
from emulator.xen.layout import NODES_MAX

_PORT_OF_MQTT = 1883

Seconds = Annotated[float, Field(ge=0, le=3600)]


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    try:
        good = parts.scheme == "mqtt" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or too large
        good = False
    if not good or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be mqtt://HOST or mqtt://HOST:PORT, as in `mqtt://127.0.0.1:1883`")
    return url


class Personality(StrEnum):
    """Which hypervisor answers: that of the 2008 design, or real Xen, word for word."""

    THREAD = "thread"
    XEN_4_17 = "xen-4.17"


class HostSettings(Settings):
    name: HostName = "hv-1"
    memory: Size = 512 << 30
    xen_heap: Size = 64 << 20
    dom0: Size = 1 << 30
    dimms: Annotated[int, Field(gt=0, le=12)] = 8
    nodes: Annotated[int, Field(gt=0, le=NODES_MAX)] = 1
    personality: Personality = Personality.THREAD
    defects: dict[DefectId, bool] = Field(default_factory=dict[DefectId, bool])
    hypercall_cpu: Annotated[int, Field(ge=0, lt=4096)] = 1
    reboot_seconds: Seconds = 3.0


class BrokerSettings(Settings):
    url: Annotated[str, AfterValidator(_checked_url)] = "mqtt://127.0.0.1:1883"
    protocol: Literal["5", "3.1.1"] = "5"
    keepalive_seconds: Annotated[int, Field(gt=0, le=3600)] = 15
    retry_seconds_first: Annotated[float, Field(gt=0, le=60)] = 0.2
    retry_seconds_max: Annotated[float, Field(gt=0, le=3600)] = 5.0

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or _PORT_OF_MQTT

    @property
    def account(self) -> tuple[str | None, str | None]:
        parts = urlsplit(self.url)
        return parts.username, parts.password


class TelemetrySettings(Settings):
    encoding: Literal["packed", "json"] = "packed"
    batch_max: Annotated[int, Field(gt=0, le=BATCH_MAX)] = BATCH_MAX
    interval_seconds: Annotated[float, Field(ge=0.001, le=60)] = 0.05
    outbox_parcels_max: Annotated[int, Field(gt=0, le=100_000)] = 1024
    patience_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    patience_seconds_max: Annotated[float, Field(gt=0, le=3600)] = 60.0
    resend_parcels_max: Annotated[int, Field(gt=0, le=100_000)] = 128


class TimingSettings(Settings):
    hypercall_seconds: Seconds = 0.0002
    suspend_seconds: Seconds = 0.02
    exchange_seconds_per_page: Seconds = 0.001
    resume_seconds: Seconds = 0.02
    save_seconds_per_gib: Seconds = 2.0
    restore_seconds_per_gib: Seconds = 2.0
    migrate_seconds_per_gib: Seconds = 1.0
    migrate_downtime_seconds: Seconds = 0.1
    detach_seconds: Seconds = 1.0
    attach_seconds: Seconds = 1.0
    drop_shadows_seconds: Seconds = 0.05
    balloon_seconds_per_page: Seconds = 0.0005
    create_seconds_per_gib: Seconds = 0.5
    destroy_seconds_per_gib: Seconds = 0.2
    reboot_seconds: Seconds = 1.0


class WorkloadSettings(Settings):
    accesses_per_second: Annotated[int, Field(ge=0, le=10_000_000)] = 20_000
    working_set: Size = 16 << 20
    interval_seconds: Annotated[float, Field(ge=0.001, le=60)] = 0.05


class EmulatorConfig(Settings):
    """The whole of it. Sizes are bytes once read."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 1
    scenario: str = "straight-line"
    sockets: Path = Path("run")
    metrics: Annotated[str, Field(pattern=r"^([^\s:]+:\d{1,5})?$")] = ""
    host: HostSettings = HostSettings()
    guests: Guests = (
        GuestSettings(name="web-hvm", kind=GuestKind.HVM),
        GuestSettings(name="db-pv", kind=GuestKind.PV),
    )
    broker: BrokerSettings = BrokerSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    timing: TimingSettings = TimingSettings()
    workload: WorkloadSettings = WorkloadSettings()
    faults: tuple[FaultSettings, ...] = ()


def load(path: Path | None, overrides: Overrides | None = None) -> EmulatorConfig:
    """The configuration in `path` (the defaults without one), `overrides` laid over it."""
    table = {} if path is None else read_table(path)
    return checked(EmulatorConfig, table, "defaults" if path is None else str(path), overrides)
