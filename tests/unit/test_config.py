"""The configuration: the file is the manual, and a complaint says what would be right."""

import re
from datetime import UTC, time, tzinfo
from pathlib import Path

import pytest

from agent.config import AgentConfig, load
from agent.contract.errors import AgentError
from agent.retirement.windows import Day, Window

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config" / "agent.toml"


def complaint_about(text: str, folder: Path) -> str:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AgentError) as caught:
        load(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_the_shipped_file_is_good() -> None:
    assert load(SHIPPED).host == "hv-1"


def test_the_shipped_file_shows_every_key_and_its_default(tmp_path: Path) -> None:
    """Uncommenting every commented default changes nothing but what has no default."""
    text = SHIPPED.read_text(encoding="utf-8")
    shown = re.sub(r"^# (\w+ = .*)$", r"\1", text, flags=re.MULTILINE)
    files = ("password_file", "ca_file", "cert_file", "key_file", "token_file")
    for example in ("username", *files):
        assert f"\n{example} = " in shown
        shown = re.sub(rf"^{example} = .*\n", "", shown, flags=re.MULTILINE)
    path = tmp_path / "agent.toml"
    path.write_text(shown, encoding="utf-8")
    assert load(path) == AgentConfig(host="hv-1")


def test_every_key_is_in_the_shipped_file() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    for name, section in AgentConfig.model_fields.items():
        keys = getattr(section.annotation, "model_fields", {name: None})
        for key in keys:
            assert re.search(rf"^(# )?{key} = |^\[.*\b{key}\]", text, re.MULTILINE), key


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "host is missing"),
        ('host = "a/b"', "host: a host name is 1 to 128 letters"),
        ('host = "h"\nhots = 1', "unknown key hots; did you mean host?"),
        (
            'host = "h"\n[diagnosis.page]\nwindow_hour = 1',
            "unknown key diagnosis.page.window_hour; did you mean window_hours?",
        ),
        (
            'host = "h"\n[diagnosis.page]\nn = 0',
            "diagnosis.page.n must be greater than or equal to 1 (got 0)",
        ),
        ('host = "h"\n[hypervisor]\nkind = "kvm"', "hypervisor.kind must be 'emulated' or 'xen'"),
        ('host = "h"\n[retirement]\nrungs = ["hope"]', "retirement.rungs.0 must be 'wait'"),
        ("host = ", "not TOML"),
        (
            'host = "h"\n[retirement]\nmode = "watch"',
            "retirement.mode must be 'observe' or 'enforce' (got 'watch')",
        ),
        (
            'host = "h"\n[[retirement.windows]]\nbegin = "22:00"',
            "retirement.windows.0.end is missing",
        ),
        (
            'host = "h"\n[[retirement.windows]]\nbegin = "22:00Z"\nend = "04:00"',
            "retirement.windows.0.begin: give the zone in its own key",
        ),
        (
            'host = "h"\n[[retirement.windows]]\ndays = ["Sat"]\nbegin = 22:00:00\nend = 04:00:00',
            "retirement.windows.0.days.0 must be 'mon', 'tue'",
        ),
        ('host = "h"\n[metrics]\nlisten = "127.0.0.1:70000"', "metrics.listen: the port must be"),
        (
            'host = "h"\n[metrics]\ncert_file = "m.pem"',
            "metrics.cert_file and metrics.key_file go together: give both",
        ),
        ('host = "h"\n[journal]\nretention_days = inf', "journal.retention_days must be"),
        (
            'host = "h"\n[retirement]\nretry_seconds_max = 0.1',
            "retirement.retry_seconds_max must not be below",
        ),
    ],
)
def test_a_complaint_names_the_key_and_what_would_be_right(
    text: str, complaint: str, tmp_path: Path
) -> None:
    assert complaint_about(text, tmp_path).startswith(complaint)


def test_a_complaint_is_one_line(tmp_path: Path) -> None:
    assert "\n" not in complaint_about('host = "h"\na = 1\nb = 2\n[log]\nlevel = "x"', tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_nonsense_in_the_environment_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGEWARDEN_RETIREMENT__RUNGS", "swap")
    with pytest.raises(AgentError, match=r"^PAGEWARDEN_RETIREMENT__RUNGS: not JSON: "):
        load(SHIPPED)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PAGEWARDEN_DIAGNOSIS__PAGE__N", "0", "diagnosis.page.n must be "),
        ("pagewarden_diagnosis__page__n", "many", "diagnosis.page.n must be "),
        ("PAGEWARDEN_BROKER", '{"url": 1}', "broker.url must be "),
        ("PAGEWARDEN_BROKER__URI", "mqtt://b", "unknown key broker.uri; did you mean url?"),
        ("PAGEWARDEN_RETIREMENT__RUNGS", '["hope"]', "retirement.rungs.0 must be 'wait'"),
        (
            "PAGEWARDEN_BROKER__RETRY_SECONDS_MAX",
            "0.1",
            "broker.retry_seconds_max must not be below broker.retry_seconds_first",
        ),
    ],
)
def test_what_the_environment_sets_wrongly_is_blamed_on_the_variable(
    variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGEWARDEN_LOG__LEVEL", "debug")
    monkeypatch.setenv(variable, value)
    with pytest.raises(AgentError) as caught:
        load(SHIPPED)
    assert str(caught.value).startswith(f"{variable}: {complaint}")


def test_what_the_file_sets_wrongly_is_not_blamed_on_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGEWARDEN_DIAGNOSIS__PAGE__WINDOW_HOURS", "12")
    text = 'host = "h"\n[diagnosis.page]\nn = 0'
    assert complaint_about(text, tmp_path).startswith("diagnosis.page.n must be ")


def test_the_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGEWARDEN_DIAGNOSIS__PAGE__N", "3")
    assert load(SHIPPED).diagnosis.page.n == 3


@pytest.mark.parametrize(("zone", "tz"), [("utc", UTC), ("local", None)])
def test_the_windows_of_the_file_s_example_are_read(
    zone: str, tz: tzinfo | None, tmp_path: Path
) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    example = "\n".join(re.findall(r"^#   (.+)$", text, re.MULTILINE))
    path = tmp_path / "agent.toml"
    path.write_text(f'host = "h"\n{example.replace("local", zone)}\n', encoding="utf-8")
    (section,) = load(path).retirement.windows
    assert section.window == Window(time(22), time(4), (Day.SAT, Day.SUN), tz)
