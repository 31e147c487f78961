"""What goes wrong with memory of a kind: `config/faults.toml`, each number there with its source.

An installed package has the file beside this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from emulator.errors import EmulatorError
from emulator.machine.faults import Mode, ModeName, Persistence
from emulator.machine.memory import Geometry
from emulator.machine.model import DAY_NS, SECOND_NS, Arrivals, Model, Pareto
from emulator.toml import Settings, checked, read_table

_PACKAGE = Path(__file__).parent
_FILES = (_PACKAGE / "faults.toml", _PACKAGE.parent / "config" / "faults.toml")
_HOST_BYTES = 512 << 30


def _of_every_mode(table: dict[ModeName, float]) -> dict[ModeName, float]:
    missing = [mode.word for mode in Mode if mode.word not in table]
    if missing:
        raise ValueError(f"each mode needs a number; there is none for {', '.join(missing)}")
    return table


Share = Annotated[float, Field(ge=0, le=1)]
Sigma = Annotated[float, Field(ge=0, le=3)]
Positive = Annotated[float, Field(gt=0, le=1e9)]
FitByMode = Annotated[
    dict[ModeName, Annotated[float, Field(ge=0, le=1e6)]], AfterValidator(_of_every_mode)
]
ShareByMode = Annotated[dict[ModeName, Share], AfterValidator(_of_every_mode)]
BurstByMode = Annotated[
    dict[ModeName, Annotated[float, Field(ge=1, le=1e9)]], AfterValidator(_of_every_mode)
]


class _OfLasting(Settings):
    intermittent: Positive
    permanent: Positive

    def by_persistence(self) -> dict[Persistence, float]:
        return {
            Persistence.INTERMITTENT: self.intermittent,
            Persistence.PERMANENT: self.permanent,
        }


class _SharesOfLasting(_OfLasting):
    intermittent: Share
    permanent: Share


class ErrorsSettings(Settings):
    alpha: Annotated[float, Field(gt=0, le=5)]
    most: Annotated[int, Field(ge=1, le=10_000_000)]


class ArrivalsSettings(Settings):
    burst_gap_seconds: Positive
    burst_gap_sigma: Sigma
    quiet_gap_days: _OfLasting
    quiet_gap_sigma: Sigma
    burst_errors: BurstByMode
    bursts_max: Annotated[float, Field(ge=1, le=1000)]


class ScrubSettings(Settings):
    period_seconds: Annotated[float, Field(ge=1, le=1e7)]
    share: _SharesOfLasting


class UncorrectedSettings(Settings):
    share: ShareByMode
    first: Share


class PresetSettings(Settings):
    devices_per_rank: Annotated[int, Field(gt=0, le=40)]
    bank_groups: Annotated[int, Field(gt=0, le=16)]
    banks_per_group: Annotated[int, Field(gt=0, le=16)]
    subarray_rows: Annotated[int, Field(gt=0)]
    transient_fit: FitByMode
    permanent_fit: FitByMode
    intermittent_share: Share


class PresetsSettings(Settings):
    ddr3: PresetSettings
    ddr4: PresetSettings
    ddr5: PresetSettings


class FaultsFile(Settings):
    """The whole of it."""

    errors: ErrorsSettings
    arrivals: ArrivalsSettings
    scrub: ScrubSettings
    uncorrected: UncorrectedSettings
    presets: PresetsSettings


@dataclass(frozen=True, slots=True)
class Preset:
    """A kind of memory. `host` is one with eight DIMMs of 64 GiB of it."""

    model: Model
    host: Geometry


def names() -> list[str]:
    return list(PresetsSettings.model_fields)


def load(name: str, path: Path | None = None) -> Preset:
    """The preset `name`, from the file `path` or the documented one.

    Raises:
        EmulatorError: if there is none of that name, or the file is not as it should be.
    """
    if name not in names():
        raise EmulatorError(f"preset: there is no {name!r}; there are: {', '.join(names())}")
    path = path or next((file for file in _FILES if file.exists()), _FILES[0])
    file = checked(FaultsFile, read_table(path), path.name)
    chosen: PresetSettings = getattr(file.presets, name)
    host = Geometry(
        _HOST_BYTES,
        bank_groups=chosen.bank_groups,
        banks_per_group=chosen.banks_per_group,
        part=f"PGWD-{name.upper()}",
    )
    return Preset(_model(name, file, chosen), host)


def _model(name: str, file: FaultsFile, chosen: PresetSettings) -> Model:
    return Model(
        name=name,
        devices_per_rank=chosen.devices_per_rank,
        transient_fit=_by_mode(chosen.transient_fit),
        permanent_fit=_by_mode(chosen.permanent_fit),
        intermittent_share=chosen.intermittent_share,
        subarray_rows=chosen.subarray_rows,
        errors=Pareto(file.errors.alpha, file.errors.most),
        arrivals=_arrivals(file.arrivals, file.scrub),
        uncorrected=_by_mode(file.uncorrected.share),
        uncorrected_first=file.uncorrected.first,
    )


def _arrivals(arrivals: ArrivalsSettings, scrub: ScrubSettings) -> Arrivals:
    quiet_days = arrivals.quiet_gap_days.by_persistence()
    return Arrivals(
        burst_gap_ns=arrivals.burst_gap_seconds * SECOND_NS,
        burst_gap_sigma=arrivals.burst_gap_sigma,
        quiet_gap_ns={each: days * DAY_NS for each, days in quiet_days.items()},
        quiet_gap_sigma=arrivals.quiet_gap_sigma,
        burst_errors=_by_mode(arrivals.burst_errors),
        bursts_max=arrivals.bursts_max,
        scrub_period_ns=round(scrub.period_seconds * SECOND_NS),
        scrub_share=scrub.share.by_persistence(),
    )


def _by_mode(table: Mapping[ModeName, float]) -> dict[Mode, float]:
    return {mode: table[mode.word] for mode in Mode}
