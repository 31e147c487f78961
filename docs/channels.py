"""What goes over the bus: each channel, who speaks on it, and what an honest message looks like.

The models are the contract's own, and the examples are made of them: what is told here is what the
agent takes and says.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agent.contract import topics
from agent.contract.case_event import CaseEvent
from agent.contract.codec import Header, from_ereports, pack
from agent.contract.ereport import BATCH_MAX, Applied, Ereport, Inventory, Module, Range, Wire
from agent.contract.frames import mfn_of
from agent.contract.status import Rest
from agent.retirement.states import State

BOOT = UUID("3f0c9a52-7d1e-4c55-9b0a-0d6f5a4e2b11")
HOST = "hv-1"
ADDRESS = 158_945_787_264
PARAMETERS = {
    "host": "The host that it is about: its name in the agent's configuration.",
    "case": "The case, as in `pagewarden case c3`.",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of message; `examples` are payloads as they stand on the wire, read as JSON.

    `is_array`: one `model`, or an array of them. `is_packed`: not JSON; the examples are in base64.
    """

    name: str
    title: str
    about: str
    model: type[Wire]
    examples: tuple[Any, ...]
    is_array: bool = False
    is_packed: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic with `{host}` in it. The agent `receives` what is sent there, or sends it itself;
    neither, where it is for others.
    """

    name: str
    address: str
    speaker: str
    listener: str
    about: str
    messages: tuple[Message, ...]
    agent_does: str | None
    retained: bool = False

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(name for name in PARAMETERS if f"{{{name}}}" in self.address)


FIRST = Ereport(
    host=HOST,
    boot_id=BOOT,
    seq=41,
    time_ns=1_704_148_094_000_000_000,
    address=ADDRESS,
    dimm="CPU0_C4_D0",
    rank=0,
    bank=2,
    row=101_410,
)
SECOND = Ereport(host=HOST, boot_id=BOOT, seq=42, time_ns=1_704_148_101_500_000_000, count=3)
INVENTORY = Inventory(
    host=HOST,
    boot_id=BOOT,
    memory_bytes=512 << 30,
    dimms=("CPU0_C4_D0",),
    modules=(Module(label="CPU0_C4_D0", part="M393A8G40AB2-CWE", serial="03B1F2C9"),),
)
RETIRED = CaseEvent(
    host=HOST,
    boot=str(BOOT),
    case="c17",
    mfn=mfn_of(ADDRESS),
    dimm="CPU0_C4_D0",
    rank_of_dimm=0,
    state=State.RETIRED,
    rest=Rest.RETIRED,
    use="hvm",
    owner=7,
    rung="swap",
    text="2 errors in 24 h",
    opened_at=1_704_148_101.5,
    moved_at=1_704_148_102.25,
)


def shown(message: Wire) -> Any:  # noqa: ANN401 - JSON has no type
    """As it goes over the wire."""
    return message.model_dump(mode="json", exclude_none=True)


EREPORTS = Channel(
    name="ereports",
    address=topics.ereports("{host}"),
    speaker="a source: the host's bridge, `feed`, the emulated host",
    listener="the agent",
    about=f"""\
Errors, 1 to {BATCH_MAX:,} a message, all of one host and one boot. An ereport is
`(host, boot_id, seq)`: the same three again is the same ereport, and counts once. A source numbers
them from 0 in each boot, without a hole, and keeps each one until `applied` says that it is safe.
The first four bytes tell the two encodings apart. A message that is neither is refused, counted,
and its beginning is kept.""",
    messages=(
        Message(
            "json",
            "Ereports for people and other tools",
            "One object, or an array. An address that is not known is left out: 0 is a page.",
            Ereport,
            (shown(FIRST), [shown(FIRST), shown(SECOND)]),
            is_array=True,
        ),
        Message(
            "packed",
            "Ereports in columns, for volume",
            "`PWE1`, a CRC-32 of all that follows it, the length of the header, the header as JSON "
            "padded with spaces to a multiple of 8, then the columns one behind the other.",
            Header,
            (b64encode(pack(from_ereports([FIRST, SECOND]))).decode(),),
            is_packed=True,
        ),
    ),
    agent_does="receive",
)
APPLIED = Channel(
    name="applied",
    address=topics.applied("{host}"),
    speaker="the agent",
    listener="the source",
    about="""\
How far the agent has come: every ereport of this boot below `next_seq` is applied and would survive
a power cut, and the source may forget it. A PUBACK says less: a broker may give one and still lose
the message.""",
    messages=(
        Message(
            "applied",
            "How far the agent has come",
            "",
            Applied,
            (shown(Applied(boot_id=BOOT, next_seq=43)),),
        ),
    ),
    agent_does="send",
    retained=True,
)
RESEND = Channel(
    name="resend",
    address=topics.resend("{host}"),
    speaker="the agent",
    listener="the source",
    about="Ereports that are missing, `first` to `last`, both included: please send them again.",
    messages=(
        Message(
            "resend",
            "What is missing",
            "",
            Range,
            (shown(Range(boot_id=BOOT, first=17, last=23)),),
        ),
    ),
    agent_does="send",
)
MEMORY = Channel(
    name="inventory",
    address=topics.inventory("{host}"),
    speaker="the source",
    listener="whoever asks what memory a host has; the agent asks the hypervisor",
    about="What memory the host has, said at each connection of the source.",
    messages=(
        Message(
            "inventory",
            "The memory of a host",
            "",
            Inventory,
            (shown(INVENTORY),),
        ),
    ),
    agent_does=None,
    retained=True,
)
CASES = Channel(
    name="cases",
    address=topics.case("{host}", "{case}"),
    speaker="the agent",
    listener="whoever follows: tickets, chat, a fleet's own database",
    about="""\
Where a case is, after the journal has it. Who comes late hears where each case is, who stays hears
moves (those that follow each other fast may come as one). A case whose page is in use again is told
once more, and then an empty retained message takes it off the bus. Fields may be added; those that
are here stay, as long as `version` is 1.""",
    messages=(Message("case", "Where a case is", "", CaseEvent, (shown(RETIRED),)),),
    agent_does="send",
    retained=True,
)

CHANNELS = (EREPORTS, APPLIED, RESEND, MEMORY, CASES)
