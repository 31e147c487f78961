"""`pagewarden agent --check`: what it calls good, the agent can start with."""

from pathlib import Path

import pytest

from agent.commands.agent import run
from agent.contract.errors import AgentError


def test_a_broker_that_cannot_be_one_is_found_before_the_start(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('host = "hv-1"\n[broker]\nurl = "http://x"\n')
    with pytest.raises(AgentError, match=r"broker\.url must be mqtt://host:port"):
        run(config, check=True)


def test_a_good_configuration_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('host = "hv-1"\n')
    run(config, check=True)
    assert "good; guards hv-1" in capsys.readouterr().out
