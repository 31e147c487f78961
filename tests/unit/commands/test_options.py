"""Which configuration a command reads."""

from pathlib import Path

import pytest

from agent.commands import options


@pytest.fixture(autouse=True)
def _an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "HOST_CONFIG", tmp_path / "host.toml")


def test_where_none_is_in_this_folder_it_is_the_hosts() -> None:
    options.HOST_CONFIG.touch()
    assert options.found(options.DEFAULT_CONFIG) == options.HOST_CONFIG


def test_the_one_in_this_folder_comes_first() -> None:
    options.HOST_CONFIG.touch()
    options.DEFAULT_CONFIG.parent.mkdir()
    options.DEFAULT_CONFIG.touch()
    assert options.found(options.DEFAULT_CONFIG) == options.DEFAULT_CONFIG


def test_one_that_was_named_and_is_not_there_is_not_replaced_in_silence() -> None:
    options.HOST_CONFIG.touch()
    assert options.found(Path("other.toml")) == Path("other.toml")


def test_where_there_is_none_at_all_the_error_names_the_one_of_this_folder() -> None:
    assert options.found(options.DEFAULT_CONFIG) == options.DEFAULT_CONFIG
