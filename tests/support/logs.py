"""Lines as machines write them, made up here, and the way tests read them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from agent.telemetry import formats
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded, Outcome, Refused
from agent.telemetry.source import Stream

UNSAID = Unsaid(latest=datetime(2024, 6, 30, tzinfo=UTC))

EDAC = (
    "EDAC MC1: 3 CE memory read error on CPU_SrcID#0_Chan#2_DIMM#1 (channel:2 slot:1 "
    "page:0x12345 offset:0x680 grain:32 syndrome:0x0 -  area:DRAM err_code:0001:0091 rank:5)"
)
LINE = f"[  100.250000] {EDAC}"

HEADER = (
    "BankId,BankgroupId,ChannelId,ColumnId,CpuId,DimmId,LogTime,MciAddr,RankId,RowId,"
    "error_type_full_name,burst_info"
)
ROW = "2,3,4,1016,0,1,1704148094,158945787264,1,101410,CE.READ,\"{'0': [], '1': [27]}\""


def decoded_all(text: str, unsaid: Unsaid = UNSAID, name: str | None = None) -> list[Outcome]:
    """Everything that `text` yields, read as a file is."""
    return list(formats.decode(Stream(text.encode()), unsaid, name))


def decoded(text: str, unsaid: Unsaid = UNSAID) -> Decoded:
    """The one record in `text`."""
    (outcome,) = decoded_all(text, unsaid)
    assert isinstance(outcome, Decoded), outcome
    return outcome


def refused(text: str, unsaid: Unsaid = UNSAID) -> Refused:
    """The one refusal in `text`."""
    (outcome,) = decoded_all(text, unsaid)
    assert isinstance(outcome, Refused), outcome
    return outcome


def errors(outcomes: Iterable[Outcome]) -> int:
    """How many errors the decoded ones stand for."""
    return sum(outcome.errors for outcome in outcomes if isinstance(outcome, Decoded))
