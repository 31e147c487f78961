"""The store of machine-check telemetry against the plainest one that keeps its promises.

The model is two lists and a count of records: whoever is not dropped is fetched in order, again and
again until it is acknowledged, and 30 records are all there are.
"""

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emulator.machine.banks import Registers
from emulator.xen.mctelem import Record, Telemetry, Urgency
from emulator.xen.words import DOMID_INVALID

URGENCIES = st.sampled_from(Urgency)


class Store(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.telemetry = Telemetry()
        self.kept: dict[Urgency, list[Record]] = {urgency: [] for urgency in Urgency}
        self.fetched: dict[Urgency, int] = {}
        self.from_shared: list[Record] = []
        self.dropped = 0
        self.numbers = count()

    @rule(urgency=URGENCIES, times=st.integers(1, 12))
    def store(self, urgency: Urgency, times: int) -> None:
        for _ in range(times):
            record = Record(Registers(0, next(self.numbers), 0), DOMID_INVALID)
            is_kept = self._has_room(urgency, record)
            assert self.telemetry.store(urgency, record) == is_kept
            if is_kept:
                self.kept[urgency].append(record)
            else:
                self.dropped += 1

    @rule(urgency=URGENCIES)
    def fetch(self, urgency: Urgency) -> None:
        found = self.telemetry.fetch(urgency)
        if not self.kept[urgency]:
            assert found is None
            return
        assert found is not None
        assert found.record == self.kept[urgency][0]
        assert self.fetched.setdefault(urgency, found.fetch_id) == found.fetch_id

    @rule(urgency=URGENCIES)
    def acknowledge(self, urgency: Urgency) -> None:
        if urgency in self.fetched:
            self.telemetry.acknowledge(urgency, self.fetched.pop(urgency))
            record = self.kept[urgency].pop(0)
            if record in self.from_shared:
                self.from_shared.remove(record)

    @rule(urgency=URGENCIES, fetch_id=st.integers(-1, 60))
    def acknowledge_something_else(self, urgency: Urgency, fetch_id: int) -> None:
        if self.fetched.get(urgency) != fetch_id:
            self.telemetry.acknowledge(urgency, fetch_id)

    @invariant()
    def what_was_dropped_is_counted(self) -> None:
        assert self.telemetry.dropped == self.dropped

    @invariant()
    def no_more_is_kept_than_there_is_room_for(self) -> None:
        urgent, others = (len(self.kept[urgency]) for urgency in Urgency)
        assert urgent + others <= 30
        assert others <= 20

    def _has_room(self, urgency: Urgency, record: Record) -> bool:
        """Ten records are the urgent ones' alone; those in the other twenty are written down."""
        own = [each for each in self.kept[Urgency.URGENT] if each not in self.from_shared]
        if urgency is Urgency.URGENT and len(own) < 10:
            return True
        if len(self.from_shared) < 20:
            self.from_shared.append(record)
            return True
        return False


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
