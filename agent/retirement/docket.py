"""Every case there is, one a page. Two verdicts, or requests, on one page are one case."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from agent.contract.frames import DomId, Mfn
from agent.contract.status import Rest
from agent.diagnosis.verdict import Verdict
from agent.retirement.advance import advance
from agent.retirement.batch import key_of
from agent.retirement.caps import Caps, Rank, rank_of, within_an_hour
from agent.retirement.case import Case, Origin, open_case
from agent.retirement.outcome import Asked
from agent.retirement.reason import Reason
from agent.retirement.reopening import reopened
from agent.retirement.states import ASKING, State
from agent.retirement.table import TRANSITIONS

CAPPING = frozenset({Reason.RETIRED_MEMORY_CAP, Reason.REPLACE_DIMM})  # why the caps refuse a page
COMING_BACK = frozenset({State.RETURNING, State.RETURNED})
CAPPED_MAX = 1000  # cases kept of pages that the caps refused


@dataclass(slots=True)
class Docket:
    """Cases by page, of one boot of the host.

    What the caps refuse is on the docket too, as UNRETIRABLE, but no more than `CAPPED_MAX` of
    those: whoever retires so much needs no longer list. `turned_away` counts them all.

    `modules` are the DIMMs that the host has now, by slot. When guests were stopped is on the
    docket because it is in the cases: each is written down with the step that the stop was.
    """

    caps: Caps
    boot: str = ""
    modules: Mapping[str, str] = field(default_factory=dict[str, str])
    next_number: int = 1
    turned_away: int = 0
    _cases: dict[Mfn, Case] = field(default_factory=dict[Mfn, Case])
    _unsettled: dict[Mfn, Case] = field(default_factory=dict[Mfn, Case])
    _owing: dict[Mfn, Case] = field(default_factory=dict[Mfn, Case])
    _doubtful: dict[Mfn, Case] = field(default_factory=dict[Mfn, Case])
    _recalled: set[Mfn] = field(default_factory=set[Mfn])
    _given_back: dict[Mfn, int] = field(default_factory=dict[Mfn, int])
    _taken: int = 0
    _taken_of: Counter[Rank] = field(default_factory=Counter[Rank])
    _pauses: dict[str, frozenset[int]] = field(default_factory=dict[str, frozenset[int]])
    _open: int = 0

    def restore(self, cases: Iterable[Case], now_ns: int) -> tuple[Case, ...]:
        """Take over the cases of an earlier life; those that are taken up anew.

        A reboot of the host does that to all of them: what could not be retired may be another's
        now. What the caps refused is judged anew at every start: they may be other caps.
        """
        kept = [_in_doubt(case, now_ns) for case in cases]
        kept.sort(key=_is_capped)  # these come last, when all that counts is known
        for case in kept:
            self.put(case)
        changed = tuple(self._reopened(case, now_ns) for case in kept if self._is_stale(case))
        self._recalled |= {each.mfn for each in self.unsettled if self._is_replaced(each)}
        return changed

    def _is_stale(self, case: Case) -> bool:
        """True if it is to be taken up anew."""
        if _is_capped(case) and not self._is_replaced(case):
            return self._refusal(case.wears) is None
        return case.boot != self.boot and case.state is not State.RETURNED

    def _is_replaced(self, case: Case) -> bool:
        """True if its page lies on another DIMM now."""
        return case.is_of_another(self._module_of(case.dimm))

    def _reopened(self, case: Case, now_ns: int) -> Case:
        fresh = reopened(case, self.boot, now_ns, self._module_of(case.dimm))
        self.put(fresh)
        return fresh

    def _module_of(self, dimm: str | None) -> str:
        """Which DIMM is in that slot, if the host says so."""
        return self.modules.get(dimm or "", "")

    def open(self, verdicts: Iterable[Verdict], now_ns: int) -> tuple[Case, ...]:
        """The new cases that these verdicts make, already on the docket."""
        fresh = {v.mfn: v for v in verdicts if self._is_new(v.mfn)}
        opened = [self._opened(verdict, now_ns) for verdict in fresh.values()]
        return tuple(case for case in opened if case is not None)

    def open_missed(self, verdicts: Iterable[Verdict], now_ns: int) -> tuple[Case, ...]:
        """The same for verdicts of an earlier life, which are found once more at a start: a page
        that had a case has had its verdict, and what was given back since is not taken again.
        """
        return self.open([each for each in verdicts if each.mfn not in self._cases], now_ns)

    def _is_new(self, mfn: Mfn) -> bool:
        """True for a page without a case, or whose case was closed."""
        case = self._cases.get(mfn)
        return case is None or case.state is State.RETURNED

    def ask(
        self,
        wanted: Iterable[Verdict],
        now_ns: int,
        *,
        beyond_cap: bool = False,
        quiet: bool = False,
    ) -> tuple[tuple[Case | None, Case], ...]:
        """The cases that an operator's asking for these pages makes, or takes up again: each as it
        was before, if it was, and as it is now, already on the docket.

        A page that is on its way, or retired, is left as it is. One that the host's cap refuses
        gets no case: whoever asked is told. A rank's own cap is for verdicts alone. New cases may
        be `quiet` ones.
        """
        asked = [
            self._asked(verdict, now_ns, beyond_cap=beyond_cap, quiet=quiet) for verdict in wanted
        ]
        return tuple(move for move in asked if move is not None)

    def _asked(
        self, verdict: Verdict, now_ns: int, *, beyond_cap: bool, quiet: bool
    ) -> tuple[Case | None, Case] | None:
        mfn = verdict.mfn
        self._recalled.discard(mfn)
        before = None if self._is_new(mfn) else self._cases[mfn]
        if before is not None and before.is_ours and Asked not in TRANSITIONS[before.state]:
            return None
        takes_more = not beyond_cap and not _takes_a_page(before)
        if takes_more and self.caps.refusal(self._taken) is not None:
            return None
        after = (
            replace(self._new(verdict, now_ns, Origin.OPERATOR), quiet=quiet)
            if before is None
            else _taken_up(before, verdict, now_ns, Origin.OPERATOR)
        )
        after = replace(after, beyond_cap=beyond_cap or after.beyond_cap, boot=self.boot)
        self.put(after)
        return before, after

    def adopt(self, marked: Iterable[Verdict], now_ns: int) -> tuple[Case, ...]:
        """New cases for those of these pages, marked by nobody that we know, that have none. Of
        those in doubt it may have been us.

        No cap refuses them: they are out of use already, or will be, and count from now on.
        """
        theirs = (found for found in marked if found.mfn not in self._doubtful)
        nobodys = (found for found in theirs if self._is_new(found.mfn))
        adopted = tuple(self._new(found, now_ns, Origin.FOUND) for found in nobodys)
        for case in adopted:
            self.put(case)
        return adopted

    def claim(self, verdicts: Iterable[Verdict], now_ns: int) -> tuple[tuple[Case, Case], ...]:
        """What errors on pages that were found marked make of their cases: ours from now on. Each
        as it was, and as it is, already on the docket.
        """
        moves: list[tuple[Case, Case]] = []
        for verdict in verdicts:
            case = self._cases.get(verdict.mfn)
            if case is not None and not case.is_ours and case.state not in COMING_BACK:
                moves.append((case, _taken_up(case, verdict, now_ns, Origin.VERDICT)))
                self.put(moves[-1][1])
        return tuple(moves)

    def _new(self, wanted: Verdict, now_ns: int, origin: Origin = Origin.VERDICT) -> Case:
        self.next_number += 1
        case = open_case(f"c{self.next_number - 1}", wanted, now_ns, origin)
        return replace(case, boot=self.boot, module=self._module_of(wanted.dimm))

    def _refusal(self, rank: Rank | None) -> Reason | None:
        """Why no page more may be taken there, if none may."""
        return self.caps.refusal(self._taken, self._taken_of[rank] if rank else 0)

    def recall(self, mfn: Mfn) -> Case | None:
        """Have this page brought back as soon as may be; its case, if there is something to do."""
        case = self._cases.get(mfn)
        if case is None or case.state is State.RETURNED:
            return None
        self._recalled.add(mfn)
        return case

    def is_recalled(self, mfn: Mfn) -> bool:
        """True until the page is back, or cannot be brought back."""
        return mfn in self._recalled

    def is_due(self, case: Case) -> bool:
        """True while there is something to do for `case`."""
        return not case.state.is_at_rest or case.mfn in self._recalled

    def _opened(self, verdict: Verdict, now_ns: int) -> Case | None:
        refusal = self._refusal(rank_of(verdict.dimm, verdict.rank))
        if refusal is not None:
            self.turned_away += 1
            if self.turned_away > CAPPED_MAX:
                return None
        case = self._new(verdict, now_ns)
        if refusal is not None:
            case = replace(case, state=State.UNRETIRABLE, reason=refusal)
        self.put(case)
        return case

    def put(self, case: Case) -> None:
        """`case` as it is now, in place of what it was."""
        before = self._cases.get(case.mfn)
        self._count_taken(before, -1)
        self._count_taken(case, +1)
        self._note_pauses(case)
        self._open += _is_open(case) - _is_open(before)
        self._cases[case.mfn] = case
        self._note_given_back(case)
        self._unsettled.pop(case.mfn, None)
        self._owing.pop(case.mfn, None)
        if case.owed:
            self._owing[case.mfn] = case
        self._doubtful.pop(case.mfn, None)
        if case.state is State.RETURNED and case.unheard_ns and case.boot == self.boot:
            self._doubtful[case.mfn] = case
        if before is not None and before.state is State.RETURNING is not case.state:
            self._recalled.discard(case.mfn)
        if not case.state.is_final:
            self._unsettled[case.mfn] = case

    def given_back(self) -> dict[Mfn, int]:
        """The pages that came back into use since this was asked last, and when (in ns)."""
        given_back, self._given_back = self._given_back, {}
        return given_back

    def _note_given_back(self, case: Case) -> None:
        self._given_back.pop(case.mfn, None)
        if case.state is State.RETURNED:
            self._given_back[case.mfn] = case.moved_at_ns

    def _count_taken(self, case: Case | None, pages: int) -> None:
        """Only what had errors, and is known to lie on a DIMM, counts against one of its ranks."""
        if case is not None and _takes_a_page(case):
            self._taken += pages
            if case.origin is Origin.VERDICT and (rank := case.wears):
                self._taken_of[rank] += pages

    def _note_pauses(self, case: Case) -> None:
        if case.paused_at_ns:
            key = key_of(case)
            known = self._pauses.get(key, frozenset()) | {*case.paused_at_ns}
            self._pauses[key] = within_an_hour(known, max(known))

    def paused_at_ns(self, guest: str) -> frozenset[int]:
        """When the guest of that `key_of` was stopped, as far as that can matter."""
        return self._pauses.get(guest, frozenset())

    @property
    def worn_ranks(self) -> tuple[Rank, ...]:
        """Those whose DIMMs are to be replaced."""
        worn = (rank for rank, pages in self._taken_of.items() if self.caps.is_worn(pages))
        return tuple(sorted(worn, key=str))

    @property
    def taken(self) -> int:
        """How many pages are taken, wherever they lie."""
        return self._taken

    @property
    def taken_of(self) -> tuple[tuple[str, int], ...]:
        """How many pages are taken of the fullest rank of each DIMM of which any ever was."""
        most: dict[str, int] = {}
        for rank, pages in self._taken_of.items():
            most[rank.dimm] = max(pages, most.get(rank.dimm, 0))
        return tuple(most.items())

    @property
    def wear(self) -> tuple[tuple[Rank, int], ...]:
        """How many pages are taken of each rank of which any ever was."""
        return tuple(self._taken_of.items())

    def refusal_of(self, mfn: Mfn, dimm: str | None) -> Reason | None:
        """Why the caps would not let this page be taken, if it went bad now."""
        case = self._cases.get(mfn)
        if _takes_a_page(case):
            return None
        rank = rank_of(dimm, None) if case is None else case.wears
        return self._refusal(rank)

    @property
    def cases(self) -> tuple[Case, ...]:
        return tuple(self._cases.values())

    def at(self, mfn: Mfn) -> Case:
        """The case of this page as it is now."""
        return self._cases[mfn]

    def get(self, mfn: Mfn) -> Case | None:
        return self._cases.get(mfn)

    def find(self, case_id: str) -> Case | None:
        return next((case for case in self._cases.values() if case.id == case_id), None)

    @property
    def is_asking(self) -> bool:
        """True while there are pages whose owners are not known yet."""
        return self._open > 0

    @property
    def unsettled(self) -> tuple[Case, ...]:
        """What is not at its end."""
        return tuple(self._unsettled.values())

    def held_by(self, owner: DomId | None) -> tuple[Case, ...]:
        """The cases of this owner's pages that are not at their end."""
        return tuple(case for case in self._unsettled.values() if case.owner == owner)

    @property
    def owing(self) -> tuple[Case, ...]:
        """Cases, at their end or not, with commands that nobody answered."""
        return tuple(self._owing.values())

    @property
    def retired(self) -> tuple[Case, ...]:
        return tuple(case for case in self._cases.values() if case.state is State.RETIRED)

    @property
    def doubtful(self) -> tuple[Case, ...]:
        """Cases of pages given back, which a request without an answer may take yet."""
        return tuple(self._doubtful.values())

    @property
    def unfinished(self) -> tuple[Case, ...]:
        """What is under way."""
        return tuple(case for case in self._unsettled.values() if not case.state.is_at_rest)

    @property
    def parked(self) -> tuple[Case, ...]:
        return self.resting(State.PARKED)

    def resting(self, state: State) -> tuple[Case, ...]:
        """The cases in this one state; not for final ones."""
        return tuple(case for case in self._unsettled.values() if case.state is state)

    def counts(self) -> dict[str, int]:
        """How many cases rest where, every word of `Rest` included."""
        seen = Counter(case.rest for case in self._cases.values())
        return {rest.value: seen[rest] for rest in Rest}


def _taken_up(case: Case, wanted: Verdict, now_ns: int, origin: Origin) -> Case:
    """Asked for anew, unless it is out of use; and if only others wanted that so far, by `origin`
    from now on.
    """
    asked = Asked in TRANSITIONS[case.state]
    after = advance(case, Asked(), now_ns) if asked else case
    if case.is_ours:
        return after
    return replace(after, origin=origin, verdict=wanted.reason, rank=wanted.rank)


def _in_doubt(case: Case, now_ns: int) -> Case:
    """`case` of an earlier life, which may have asked for the page and not have heard of it."""
    return replace(case, unheard_ns=now_ns) if case.state in ASKING else case


def _is_capped(case: Case) -> bool:
    return case.state is State.UNRETIRABLE and case.reason in CAPPING


def _takes_a_page(case: Case | None) -> bool:
    """True if the caps count it."""
    return case is not None and case.state.takes_a_page and not case.beyond_cap


def _is_open(case: Case | None) -> bool:
    return case is not None and case.state is State.OPEN
