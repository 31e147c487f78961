"""The command that each state names. Thin: ask, translate, return.

A peer that does not answer, or answers nonsense, is `NoAnswer`: what it did is not known, so the
state stays and the same command is given again. Every command may be given twice, so that is safe.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.contract.errors import PeerError
from agent.contract.frames import DomId
from agent.contract.hypercall import PageReply, PagesReply
from agent.retirement import answers
from agent.retirement.case import Case, State
from agent.retirement.outcome import NoAnswer, Outcome, Refused
from agent.retirement.ports import Hypervisor, Toolstack


@dataclass(frozen=True, slots=True)
class Acts:
    """Gives commands to one hypervisor and its toolstack."""

    hypervisor: Hypervisor
    toolstack: Toolstack

    async def give(self, case: Case) -> Outcome:
        """Give the command that `case.state` names, once; what came of it."""
        try:
            return await self._command(case.state)(case)
        except PeerError as error:
            return NoAnswer(str(error))

    async def start_guest(self, case: Case) -> Outcome:
        """Start the guest of `case` again, by the command that fits how it may be stopped."""
        by_restore = case.state in {State.SAVING, State.RESTORING}
        return await self.give(
            replace(case, state=State.RESTORING if by_restore else State.RELEASING)
        )

    def _command(self, state: State) -> Callable[[Case], Awaitable[Outcome]]:
        commands: dict[State, Callable[[Case], Awaitable[Outcome]]] = {
            State.OPEN: self._offline,
            State.PARKED: self._offline,
            State.SWAPPING: self._swap,
            State.SUSPENDING: self._suspend,
            State.EXCHANGING: self._exchange,
            State.RESUMING: self._resume,
            State.BACKING_OUT: self._resume,
            State.RELEASING: self._resume,
            State.SAVING: self._save,
            State.RESTORING: self._restore,
            State.CONFIRMING: self._query,
        }
        return commands[state]

    async def _offline(self, case: Case) -> Outcome:
        return answers.to_offline(_only(await self.hypervisor.offline([case.mfn]), case))

    async def _swap(self, case: Case) -> Outcome:
        return answers.to_swap(_only(await self.hypervisor.swap([case.mfn]), case))

    async def _query(self, case: Case) -> Outcome:
        return answers.to_query(_only(await self.hypervisor.query([case.mfn]), case))

    async def _suspend(self, case: Case) -> Outcome:
        if case.owner is None:
            return Refused("the hypervisor named no owner to suspend")
        return answers.to_command(await self.toolstack.suspend(case.owner))

    async def _exchange(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.exchange(_owner(case), [case.mfn]))

    async def _resume(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.resume(_owner(case)))

    async def _save(self, case: Case) -> Outcome:
        if case.owner is None:
            return Refused("the hypervisor named no owner to save")
        return answers.to_command(await self.toolstack.save(case.owner, case.id))

    async def _restore(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.restore(case.id))


def _only(reply: PagesReply, case: Case) -> PageReply:
    """The one answer to a request about one page."""
    if [page.mfn for page in reply.pages] != [case.mfn]:
        raise PeerError(f"asked about page {case.mfn:#x}, the hypervisor answered about others")
    return reply.pages[0]


def _owner(case: Case) -> DomId:
    if case.owner is None:
        raise PeerError(f"case {case.id} is {case.state} and names no owner")
    return case.owner
