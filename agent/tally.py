"""What the messages that went in together came to, added up to one event for those who watch."""

from collections import Counter
from collections.abc import Iterable, Sequence

from agent.diagnosis.diagnosis import Finding
from agent.diagnosis.places import bank_errors, dimm_uncorrected
from agent.diagnosis.policy import UNKNOWN_DIMM
from agent.events import BatchTaken

Counts = tuple[tuple[str, int], ...]


def taken(found: Sequence[Finding], missing: int, now_ns: int, commit_seconds: float) -> BatchTaken:
    """At least one finding, in one commit; `missing` is how many ereports are, after them all."""
    admitted, judged = [each.admitted for each in found], [each.judgement for each in found]
    batches = [each.batch for each in admitted]
    newest_ns = max(each.newest_time_ns for each in judged)
    return BatchTaken(
        accepted=sum(map(len, batches)),
        duplicates=sum(each.duplicates for each in admitted),
        late=sum(each.late for each in admitted),
        missing=missing,
        errors=sum(each.errors for each in judged),
        unlocated=sum(each.unlocated for each in judged),
        out_of_range=sum(each.out_of_range for each in judged),
        uncorrected=sum(each.uncorrected for each in judged),
        misplaced=sum(each.wear.misplaced for each in judged),
        dimm_errors=_summed(each.dimm_errors for each in judged),
        bank_errors=bank_errors(*batches),
        dimm_uncorrected=_summed(dimm_uncorrected(each, UNKNOWN_DIMM) for each in batches),
        newest_time_ns=newest_ns,
        delay_seconds=(now_ns - newest_ns) / 1e9,
        commit_seconds=commit_seconds,
    )


def _summed(counts: Iterable[Counts]) -> Counts:
    """By name, in the order of names."""
    sums: Counter[str] = Counter()
    for each in counts:
        for name, count in each:
            sums[name] += count
    return tuple(sorted(sums.items()))
