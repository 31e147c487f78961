"""What the configuration's kind of hypervisor means for the rungs."""

import pytest

from agent.app import _rungs
from agent.config import AgentConfig
from agent.retirement.ladder import Rung


def rungs(kind: str, allowed: list[str] | None = None) -> tuple[Rung, ...]:
    retirement = {} if allowed is None else {"rungs": allowed}
    given = {"host": "hv-1", "hypervisor": {"kind": kind}, "retirement": retirement}
    return _rungs(AgentConfig.model_validate(given))


def test_a_real_xen_has_the_two_rungs_that_work_there() -> None:
    """An exchange that cannot work would stop the guest for nothing."""
    assert rungs("xen") == (Rung.MIGRATE, Rung.SAVE_RESTORE)


def test_the_emulated_one_has_all_of_them() -> None:
    assert rungs("emulated") == tuple(Rung)


@pytest.mark.parametrize("kind", ["xen", "emulated"])
def test_what_the_operator_forbids_stays_forbidden(kind: str) -> None:
    assert rungs(kind, ["save_restore"]) == (Rung.SAVE_RESTORE,)
