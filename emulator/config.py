"""What the emulated world is like: `config/emulator.toml`, each key there with its reason.

The defaults here and the values there are the same (a test compares them), so that an installed
emulator without any file is the documented one.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from agent.contract.ereport import BATCH_MAX
from agent.contract.toolstack import GuestKind
from agent.contract.topics import HostName
from emulator.machine.memory import Geometry
from emulator.machine.reporting import How
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
    nodes: Annotated[int, Field(gt=0, le=NODES_MAX)] = 1
    reporting: How = How.EACH
    personality: Personality = Personality.THREAD
    defects: dict[DefectId, bool] = Field(default_factory=dict[DefectId, bool])
    hypercall_cpu: Annotated[int, Field(ge=0, lt=4096)] = 1
    reboot_seconds: Seconds = 3.0


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two")
    return value


PowerOfTwo = Annotated[int, AfterValidator(_power_of_two)]


class MemorySettings(Settings):
    """Counts are of each thing one level up; sizes are bytes."""

    sockets: Annotated[int, Field(gt=0, le=8)] = 1
    channels: Annotated[int, Field(gt=0, le=12)] = 8
    dimms_per_channel: Annotated[int, Field(gt=0, le=3)] = 1
    ranks: Annotated[int, Field(gt=0, le=8)] = 2
    bank_groups: Annotated[PowerOfTwo, Field(gt=0, le=16)] = 8
    banks_per_group: Annotated[PowerOfTwo, Field(gt=0, le=16)] = 4
    row_bytes: Annotated[PowerOfTwo, Field(ge=64, le=1 << 20)] = 8192
    socket_run: Annotated[PowerOfTwo, Field(ge=0, le=1 << 30)] = 0
    channel_run: Annotated[PowerOfTwo, Field(ge=64, le=1 << 30)] = 4096
    bank_hash: bool = True
    channel_hash: bool = False
    part: Annotated[str, Field(max_length=128)] = "PGWD-DDR5-4800"

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        self.geometry(1)
        return self

    def geometry(self, memory: int) -> Geometry:
        """That of a host with so many bytes of memory."""
        return Geometry(memory, **self.model_dump())


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
    memory: MemorySettings = MemorySettings()
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
