"""The agent's configuration: `config/agent.toml`, and the environment over it.

The file is the manual: every key stands there with its unit, its default and its reason. A key that
nobody knows is refused, and a complaint names the file, the key, and what would be right.
`PAGEWARDEN_BROKER__URL=…` in the environment overrides `url` under `[broker]`.
"""

import os
import tomllib
from collections.abc import Sequence
from datetime import UTC, time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from agent.contract.errors import AgentError
from agent.contract.topics import HostName
from agent.retirement.ladder import Rung
from agent.retirement.windows import WEEK, Day, Window

SERD_N_MAX = 16
ENV_PREFIX = "PAGEWARDEN_"
ENV_DELIMITER = "__"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BrokerSection(Section):
    """Where errors come from."""

    url: str = "mqtt://127.0.0.1:1883"
    protocol: Literal["5", "3.1.1"] = "5"
    client_id: str = ""  # empty: pagewarden-<host>
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_seconds: Annotated[int, Field(ge=5, le=3600)] = 30
    session_expiry_seconds: Annotated[int, Field(ge=60, lt=1 << 32)] = 7 * 86_400
    payload_bytes_max: Annotated[int, Field(ge=1024)] = 1 << 20
    retry_seconds_first: Annotated[float, Field(gt=0)] = 0.5
    retry_seconds_max: Annotated[float, Field(gt=0)] = 30.0


class JournalSection(Section):
    """What survives."""

    path: Path = Path("pagewarden.db")
    retention_days: Annotated[float, Field(gt=0, le=36_525)] = 90.0
    bytes_max: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    snapshot_every_batches: Annotated[int, Field(ge=1)] = 1024


class SerdSection(Section):
    """N errors in T."""

    n: Annotated[int, Field(ge=1, le=SERD_N_MAX)] = 2
    window_hours: Annotated[float, Field(gt=0, le=24 * 366)] = 24.0

    @property
    def window_ns(self) -> int:
        return round(self.window_hours * 3_600_000_000_000)


class DiagnosisSection(Section):
    """When a page is going bad."""

    page: SerdSection = SerdSection()
    pages_tracked_max: Annotated[int, Field(ge=16)] = 1_000_000


class WindowSection(Section):
    """When guests may be stopped. `end` is on the next day unless it is later than `begin`."""

    days: Annotated[tuple[Day, ...], Field(min_length=1)] = WEEK
    begin: time
    end: time
    zone: Literal["utc", "local"] = "utc"

    @property
    def window(self) -> Window:
        zone = UTC if self.zone == "utc" else None
        return Window(self.begin, self.end, self.days, zone)

    @field_validator("begin", "end")
    @classmethod
    def _without_a_zone(cls, at: time) -> time:
        if at.tzinfo is not None:
            raise ValueError('give the zone in its own key: zone = "utc" or "local"')
        return at


class RetirementSection(Section):
    """What is done about it, and how much of it."""

    mode: Literal["observe", "enforce"] = "enforce"
    retired_memory_fraction_max: Annotated[float, Field(gt=0, le=0.1)] = 0.001
    pages_per_rank_max: Annotated[int, Field(ge=1)] = 64
    pauses_per_guest_and_hour_max: Annotated[int, Field(ge=1, le=3600)] = 12
    windows: Annotated[tuple[WindowSection, ...], Field(max_length=64)] = ()
    rungs: tuple[Rung, ...] = tuple(Rung)
    migrate_to: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    mapped_seconds_max: Annotated[float, Field(gt=0)] = 60.0
    detach_seconds_max: Annotated[float, Field(gt=0)] = 30.0
    gather_seconds_max: Annotated[float, Field(ge=0)] = 2.0
    cases_in_flight_max: Annotated[int, Field(ge=1, le=256)] = 8
    retry_seconds_first: Annotated[float, Field(gt=0)] = 0.5
    retry_seconds_max: Annotated[float, Field(gt=0)] = 300.0
    stopped_retry_seconds_max: Annotated[float, Field(gt=0, le=60)] = 5.0
    watch_seconds: Annotated[float, Field(gt=0)] = 60.0


class HypervisorSection(Section):
    """Who is asked."""

    kind: Literal["emulated", "xen"] = "emulated"
    hypercall_socket: Path = Path("/run/pagewarden/hypercall.sock")
    toolstack_socket: Path = Path("/run/pagewarden/toolstack.sock")
    images: Path = Path("/var/lib/pagewarden/images")
    call_seconds_max: Annotated[float, Field(gt=0)] = 5.0
    guest_seconds_max: Annotated[float, Field(gt=0)] = 120.0


class MetricsSection(Section):
    """Where operators look."""

    listen: Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$")] = "127.0.0.1:9464"
    cert_file: Path | None = None
    key_file: Path | None = None
    token_file: Path | None = None

    @field_validator("listen")
    @classmethod
    def _has_a_port(cls, listen: str) -> str:
        if int(listen.rpartition(":")[2]) >= 1 << 16:
            raise ValueError("the port must be below 65536")
        return listen

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host, int(port)


class ControlSection(Section):
    """Where `pagewarden status` and its kin ask."""

    socket: Path = Path("/run/pagewarden/agent.sock")


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class AgentConfig(BaseSettings):
    """All of it. Times are in the unit that the key's name ends with."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER
    )

    host: HostName
    broker: BrokerSection = BrokerSection()
    journal: JournalSection = JournalSection()
    diagnosis: DiagnosisSection = DiagnosisSection()
    retirement: RetirementSection = RetirementSection()
    hypervisor: HypervisorSection = HypervisorSection()
    metrics: MetricsSection = MetricsSection()
    control: ControlSection = ControlSection()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def _in_proportion(self) -> Self:
        if (self.metrics.cert_file is None) != (self.metrics.key_file is None):
            raise ValueError("metrics.cert_file and metrics.key_file go together: give both")
        if self.broker.retry_seconds_max < self.broker.retry_seconds_first:
            raise ValueError(
                "broker.retry_seconds_max must not be below broker.retry_seconds_first"
            )
        if self.retirement.retry_seconds_max < self.retirement.retry_seconds_first:
            raise ValueError(
                "retirement.retry_seconds_max must not be below retirement.retry_seconds_first"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature, also below
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the file, whose content comes in as arguments."""
        return env_settings, init_settings


def load(path: Path) -> AgentConfig:
    """The configuration in the file at `path`.

    Raises:
        AgentError: one line with the file, the key, what is wrong and what would be right.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return AgentConfig(**content)
    except OSError as error:
        raise AgentError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"{path}: not TOML: {error}") from None
    except SettingsError as error:
        blamed = _variables(str(error).split('"')[1].split(".")) or ("environment",)
        raise AgentError(
            f"{' or '.join(blamed)}: not JSON: a list is given as JSON, and so is a section, "
            "or each key of it by a variable of its own"
        ) from None
    except ValidationError as error:
        blamed = _to_blame(error) or (str(path),)
        raise AgentError(f"{' with '.join(blamed)}: {complaint(error, AgentConfig)}") from None


def _to_blame(error: ValidationError) -> tuple[str, ...]:
    """The environment variables that set what is wrong first; none if the file did."""
    first = error.errors(include_url=False)[0]
    if first["loc"]:
        return _variables(tuple(map(str, first["loc"])))
    # Two keys that do not go together: the sentence names them both.
    named = (word.split(".") for word in first["msg"].split() if "." in word)
    return tuple(variable for key in named for variable in _variables(key))


def _variables(key: Sequence[str]) -> tuple[str, ...]:
    """The environment variables that set `key`, a section that holds it, or something in it."""
    parts = tuple(part.lower() for part in key)
    found: list[str] = []
    for name in os.environ:
        if name.upper().startswith(ENV_PREFIX):
            path = tuple(name.lower().removeprefix(ENV_PREFIX.lower()).split(ENV_DELIMITER))
            common = min(len(path), len(parts))
            if path[:common] == parts[:common]:
                found.append(name)
    return tuple(found)


def complaint(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong, in one line: `diagnosis.page.n must be … (got 0)`."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    more = len(error.errors()) - 1
    return _sentence(first, key, model) + (f" (and {more} more)" if more else "")


def _sentence(first: ErrorDetails, key: str, model: type[BaseModel]) -> str:
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}{_suggestion(first['loc'], model)}"
    if first["type"] == "missing":
        return f"{key} is missing"
    what = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    where = f"{key} must be " if first["msg"].startswith("Input should be") else f"{key}: "
    return f"{where}{what} (got {first['input']!r})" if key else what


def _suggestion(location: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """`; did you mean window_hours?`, if a key of that section is close."""
    for part in location[:-1]:
        inner = model.model_fields[str(part)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        model = inner
    close = get_close_matches(str(location[-1]), list(model.model_fields), n=1)
    return f"; did you mean {close[0]}?" if close else ""
