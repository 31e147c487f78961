"""The emulator's configuration: sizes, defaults, and mistakes that are told in one line."""

from pathlib import Path

import pytest

from emulator import config
from emulator.config import EmulatorConfig
from emulator.errors import EmulatorError
from emulator.sizes import parse_size, shown

DOCUMENTED = Path(__file__).parents[3] / "config" / "emulator.toml"


def complaint(tmp_path: Path, text: str) -> str:
    """What is said of a configuration file that holds `text`."""
    file = tmp_path / "emulator.toml"
    file.write_text(text)
    with pytest.raises(EmulatorError) as raised:
        config.load(file)
    assert "\n" not in str(raised.value)
    return str(raised.value).removeprefix(f"{file}: ")


def test_the_documented_file_holds_the_defaults() -> None:
    assert config.load(DOCUMENTED) == EmulatorConfig()


def test_an_unknown_key_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    assert (
        complaint(tmp_path, '[host]\nmemroy = "1 GiB"\n')
        == "host.memroy: there is no such key; did you mean `memory`?"
    )


def test_an_unknown_key_in_a_list_of_tables_is_found_too(tmp_path: Path) -> None:
    assert (
        complaint(tmp_path, '[[guests]]\nname = "a"\nkidn = "pv"\nkind = "pv"\n')
        == "guests.0.kidn: there is no such key; did you mean `kind`?"
    )


def test_an_unknown_key_like_no_other_is_answered_with_all_there_are(tmp_path: Path) -> None:
    assert complaint(tmp_path, "[workload]\nxyz = 1\n") == (
        "workload.xyz: there is no such key; there are: "
        "accesses_per_second, working_set, interval_seconds"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[host]\nmemory = "512 GB"', "host.memory: must be a number and KiB, MiB, GiB or TiB"),
        ("[host]\nmemory = 5000", "host.memory: must be a whole number of 4 KiB pages"),
        ('[host]\nname = "a/b"', "host.name: a host name is 1 to 128 letters"),
        ('[broker]\nurl = "http://x"', "broker.url: must be mqtt://HOST"),
        ('[broker]\nurl = "mqtt://x:99999"', "broker.url: must be mqtt://HOST"),
        ('[[guests]]\nkind = "pv"', "guests.0.name: is missing"),
        ("[memory]\nbank_groups = 3", "memory.bank_groups: must be a power of two (got 3)"),
        ("[memory]\nsocket_run = 100", "memory.socket_run: must be a power of two (got 100)"),
        ("[memory]\nsocket_run = 32", "memory: row_bytes and runs must be at least 64"),
        (
            "[memory]\nchannels = 12\nchannel_hash = true",
            "memory: channel_hash needs 1, 2, 4 or 8 channels, and not 12",
        ),
        ("[telemetry]\nbatch_max = 1025", "telemetry.batch_max: Input should be less than"),
        ("host = 3", "host: Input should be a valid"),
        ("[host", "not TOML"),
    ],
)
def test_a_bad_value_is_told_with_its_key_and_what_would_be_right(
    tmp_path: Path, text: str, says: str
) -> None:
    assert complaint(tmp_path, text).startswith(says)


def test_a_file_that_is_not_there_is_told_by_its_path() -> None:
    with pytest.raises(EmulatorError, match=r"nowhere\.toml: cannot be read: No such file"):
        config.load(Path("nowhere.toml"))


def test_the_command_line_is_laid_over_the_file() -> None:
    loaded = config.load(DOCUMENTED, {("host", "memory"): "4 GiB", ("seed",): 9})
    assert (loaded.host.memory, loaded.seed, loaded.host.name) == (4 << 30, 9, "hv-1")


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file() -> None:
    with pytest.raises(EmulatorError, match=r"^command line: broker\.protocol: "):
        config.load(DOCUMENTED, {("broker", "protocol"): "4"})


@pytest.mark.parametrize("text", ["4 KiB", "64 MiB", "512 GiB", "1 TiB", "1536 MiB"])
def test_a_size_is_shown_as_it_is_read(text: str) -> None:
    size = parse_size(text)
    assert isinstance(size, int)
    assert shown(size) == text


def test_the_personality_is_one_of_two(tmp_path: Path) -> None:
    says = complaint(tmp_path, '[host]\npersonality = "xen-4.18"')
    assert says.startswith("host.personality: Input should be 'thread' or 'xen-4.17'")
