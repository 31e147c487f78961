"""The host at its start: what is configured fits, or is refused in one line."""

import pytest

from agent.contract.frames import Mfn
from emulator.config import EmulatorConfig
from emulator.errors import EmulatorError
from emulator.plan import layout_of
from emulator.scenario import Scenario
from emulator.xen.pages import PageKind

SCENARIO = Scenario(title="A test.")
FULL = {"xen_heap": "4 KiB", "dom0": "64 MiB", "memory": "193 MiB"}  # with two guests of 64 MiB


def a_config(**host: str) -> EmulatorConfig:
    return EmulatorConfig.model_validate({"host": FULL | host})


def test_the_design_has_nothing_at_a_fixed_place() -> None:
    assert layout_of(a_config(), SCENARIO).places == ()


def test_real_xen_has_its_image_and_the_first_megabyte_at_theirs() -> None:
    layout = layout_of(a_config(personality="xen-4.17", memory="1 GiB"), SCENARIO)
    assert {place.kind for place in layout.places} == {
        PageKind.LOW,
        PageKind.NOT_RAM,
        PageKind.XEN_IMAGE,
        PageKind.M2P,
        PageKind.ANONYMOUS,
    }
    assert layout.is_placed(Mfn(0))


def test_a_host_that_is_full_but_for_real_xens_places_is_refused() -> None:
    with pytest.raises(EmulatorError, match=r"host\.memory: 193 MiB is too little: Xen, dom0"):
        layout_of(a_config(personality="xen-4.17"), SCENARIO)
