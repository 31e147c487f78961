"""Of a configuration that is read again the policy is taken, and the rest is named."""

import pytest

from agent.config import AgentConfig
from agent.reloading import Reloaded, reloaded

RUNNING = AgentConfig(host="hv-1")
Sections = dict[str, object]


def read(**sections: object) -> Reloaded:
    return reloaded(RUNNING, config(sections))


def config(sections: Sections) -> AgentConfig:
    return AgentConfig.model_validate({"host": "hv-1"} | sections)


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"diagnosis": {"page": {"n": 3}}}, "diagnosis.page.n"),
        ({"retirement": {"mode": "observe"}}, "retirement.mode"),
        (
            {"retirement": {"windows": [{"begin": "22:00", "end": "04:00"}]}},
            "retirement.windows",
        ),
        ({"log": {"level": "debug"}}, "log.level"),
    ],
)
def test_a_key_of_the_policy_is_taken(sections: Sections, key: str) -> None:
    found = read(**sections)
    assert (found.taken, found.left) == ((key,), ())
    assert found.config == config(sections)


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"host": "hv-2"}, "host"),
        ({"broker": {"url": "mqtt://elsewhere"}}, "broker.url"),
        ({"journal": {"path": "other.db"}}, "journal.path"),
        ({"hypervisor": {"call_seconds_max": 1.0}}, "hypervisor.call_seconds_max"),
        ({"metrics": {"listen": "127.0.0.1:1"}}, "metrics.listen"),
        ({"control": {"socket": "other.sock"}}, "control.socket"),
    ],
)
def test_any_other_key_is_named_and_left(sections: Sections, key: str) -> None:
    found = read(**sections)
    assert (found.taken, found.left) == ((), (key,))
    assert found.config == RUNNING


def test_both_may_change_at_once() -> None:
    found = read(host="hv-2", retirement={"mode": "observe"})
    assert (found.taken, found.left) == (("retirement.mode",), ("host",))
    assert found.config == config({"retirement": {"mode": "observe"}})


def test_the_same_again_changes_nothing() -> None:
    assert read() == Reloaded(RUNNING, (), ())
