"""Scenarios: every file loads, and nothing in them is misspelt in silence."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from emulator import scenario
from emulator.config import EmulatorConfig
from emulator.errors import EmulatorError
from emulator.plan import layout_of, planned
from emulator.scenario import FaultSettings, On

GUEST = '[[guests]]\nname = "a"\nkind = "pv"\n'
PEER = '[[peers]]\nname = "%s"\nmemory = "1 GiB"\n'


def test_the_promised_scenarios_come_with_the_emulator() -> None:
    promised = {"straight-line", "fast-resume", "save-restore", "busy-host", "host-reboot"}
    assert promised <= set(scenario.names())


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_fits_the_default_host(name: str) -> None:
    assert layout_of(EmulatorConfig(), scenario.load(name)).frames == (512 << 30) >> 12


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_says_what_becomes_of_each_page_it_breaks(name: str) -> None:
    """How many pages a fault of the hardware breaks is seen when it is played."""
    loaded = scenario.load(name)
    broken = sum(fault.pages for fault in loaded.faults)
    assert loaded.expect.pages == broken or loaded.memory_faults or loaded.timeline


def test_a_scenario_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(EmulatorError, match=r"there is no 'zig-zag'; there are: .*busy-host, "):
        scenario.load("zig-zag")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('title = "x"\n[[faults]]\non = "hvm"\nat_second = 1', "did you mean `at_seconds`"),
        ('title = "x"\n[[mischief]]\ncall = "save"\ndo = "fail"\ntime = 2', "did you mean `times`"),
        ('title = "x"\n[[mischief]]\ncall = "save"\ndo = "fast_path"', "cannot happen to save"),
        ('title = "x"\n' + GUEST * 2, "guests: two guests are called a"),
        ('title = "x"\n' + GUEST + 'devices = ["nic", "nic"]', "guests: device nic is named twice"),
        ('title = "x"\n' + PEER % "far" * 2, "peers: two peers are called far"),
        ('title = "x"\n' + PEER % "here", "peers.0.name: here is this host itself"),
        (
            'title = "x"\n[[mappings]]\nguest = "a"\nby = "a"',
            "mappings.0: by: guest a maps",
        ),
        ('title = "x"\n[[faults]]\non = "swap"', "faults.0.on: Input should be 'free', 'hvm'"),
        ('title = "x"\n[expect]\nretired = 1', "names more pages than"),
        ('title = "x"\n[expect]\nbroken = 1', "names more pages than"),
        (
            'title = "x"\n[[faults]]\non = "hvm"\nuncorrected = true\nerrors_max = 2',
            "errors_max: not said of an uncorrected error",
        ),
        (
            'title = "x"\n[[faults]]\non = "hvm"\nseverity = "srar"',
            "severity: not said of a corrected error",
        ),
        ("[expect]\nretired = 0", "title: is missing"),
        (
            'title = "x"\n[reporting]\nhow = "poll"\nthreshold = 2',
            "reporting: threshold: counts for nothing with poll; leave it out",
        ),
        (
            'title = "x"\n[[memory_faults]]\nmode = "cell"\nevery = "2 weeks"',
            "memory_faults.0.every: must be a number and ms, s, min, h or d",
        ),
        (
            'title = "x"\n[[memory_faults]]\nmode = "cell"\nfound_by = "scrub"',
            "found_by = `scrub` needs it",
        ),
        (
            'title = "x"\n[[memory_faults]]\nmode = "cell"\nerrors = 2\npersistence = "transient"',
            "memory_faults.0: errors: a transient fault makes 1; leave it out",
        ),
        ('title = "x"\nwear = 2.0', "wear: memory wears out within a span"),
        ('title = "x"\n[[timeline]]\nat = "1 s"', "timeline.0: an event is one of guest, host, "),
        ('title = "x"\n[[timeline]]\nguest = "a"', "timeline.0: guest and do belong together"),
        (
            'title = "x"\n[[timeline]]\noperator = "offline"\nfirst = 5',
            "timeline.0: operator: offline names first and last",
        ),
    ],
)
def test_a_mistake_in_a_scenario_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(EmulatorError) as raised:
        scenario.load(str(file))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_mistake_names_the_file_it_is_in(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('title = "x"\nfault = []')
    with pytest.raises(EmulatorError, match=r"mine\.toml: fault"):
        scenario.load(str(file))


def test_a_fault_on_many_pages_starts_them_one_after_another() -> None:
    fault = FaultSettings(on=On.FREE, at_seconds=1.0, pages=3, every_seconds=0.5)
    assert [at for at, _ in planned(fault)] == [1.0, 1.5, 2.0]


@pytest.mark.parametrize(
    ("events", "is_fine"),
    [
        ([{"at": "1 s", "guest": "late", "do": "reboot"}], False),
        (
            [
                {"at": "3 s", "guest": "late", "do": "reboot"},
                {"at": "1 s", "guest": "late", "do": "start"},
            ],
            True,
        ),
    ],
)
def test_a_guest_must_have_been_started_before_anything_is_done_to_it(
    events: list[dict[str, str]], is_fine: bool
) -> None:
    found = scenario.Scenario.model_validate({"title": "Late guests.", "timeline": events})
    expected = nullcontext() if is_fine else pytest.raises(EmulatorError, match="no guest 'late'")
    with expected:
        layout_of(EmulatorConfig(), found)


def test_a_fault_on_a_kind_of_guest_that_is_not_there_is_refused() -> None:
    config = EmulatorConfig(guests=(), faults=(FaultSettings(on=On.PV),))
    with pytest.raises(EmulatorError, match="'pv', but no guest is of that kind"):
        layout_of(config, scenario.Scenario(title="A fault without a home."))


def test_a_host_too_small_for_its_tenants_is_refused_with_what_they_take() -> None:
    small = EmulatorConfig.model_validate({"host": {"memory": "1 GiB"}})
    with pytest.raises(EmulatorError, match=r"1 GiB is too little: .* 1216 MiB"):
        layout_of(small, scenario.load("straight-line"))
