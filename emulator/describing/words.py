"""The same numbers for a terminal, and for other programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from emulator.describing.policies import POLICIES
from emulator.describing.study import Study


def as_json(study: Study) -> str:
    return json.dumps(asdict(study))


def in_words(study: Study) -> str:
    return "\n".join(_lines(study))


def _lines(study: Study) -> Iterator[str]:
    yield (
        f"{study.preset}: a year of {study.dimm_years:,} DIMMs, seed {study.seed}: {study.flaws:,} "
        f"flaws ({study.flaws_expected:,.0f} expected), {study.errors:,} corrected errors, "
        f"{study.uncorrected:,} uncorrected"
    )
    for mode in study.modes:
        yield f"  {mode.mode:<11}{mode.found:6.1%} of flaws ({mode.expected:.1%} configured)"
    for policy in POLICIES:
        lines = [line for line in study.policies if line.policy == policy.name]
        yield (
            f"  retired on {policy.name + ':':<14} "
            f"{sum(each.errors_avoided for each in lines):,} errors and "
            f"{sum(each.uncorrected_avoided for each in lines):,} uncorrected ones avoided for "
            f"{sum(each.bytes_lost for each in lines) / 1024:,.0f} KiB"
        )
