from dataclasses import replace
from pathlib import Path

import pytest

from agent.adapters.broker import Broker, BrokerSettings, retry_delay_seconds
from agent.adapters.broker_settings import Address, parse_url
from agent.contract.errors import AgentError

SETTINGS = BrokerSettings(
    "mqtt://broker", "pagewarden-hv-1", retry_seconds_first=1.0, retry_seconds_max=30.0
)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", Address("broker", 1883, tls=False)),
        ("mqtt://10.0.0.1:1884", Address("10.0.0.1", 1884, tls=False)),
        ("mqtts://broker", Address("broker", 8883, tls=True)),
        ("mqtts://[::1]:8884/", Address("::1", 8884, tls=True)),
    ],
)
def test_a_url_says_where_and_how(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    "url", ["", "broker:1883", "http://broker", "mqtt://", "mqtt://b:99999", "mqtt://b/topic"]
)
def test_a_url_that_cannot_be_right_is_refused_with_the_key_and_an_example(url: str) -> None:
    with pytest.raises(AgentError, match=r"broker\.url must be mqtt://host:port or mqtts://"):
        parse_url(url)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(AgentError) as refused:
        parse_url("mqtt://me:secret@broker:1883")
    assert "secret" not in str(refused.value)


def test_a_certificate_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    settings = replace(SETTINGS, url="mqtts://broker", ca_file=missing)
    with pytest.raises(AgentError, match=str(missing)):
        Broker(settings, (), lambda _: None)


def test_the_wait_before_the_next_attempt_doubles_up_to_its_bound() -> None:
    delays = [retry_delay_seconds(SETTINGS, failures) for failures in range(40)]
    full = [min(30.0, 2.0**failures) for failures in range(40)]
    assert all(0.75 * most <= delay <= most for delay, most in zip(delays, full, strict=True))


def test_two_agents_do_not_come_back_in_the_same_instant() -> None:
    other = replace(SETTINGS, client_id="pagewarden-hv-2")
    assert retry_delay_seconds(SETTINGS, 3) != retry_delay_seconds(other, 3)
