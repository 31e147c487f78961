"""The emulator's own trouble: its configuration, its sockets, its files. One line, with the fix."""

from typing import cast


class EmulatorError(Exception):
    """The operator of the emulated world can put it right; the text says how."""


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The reason behind the reasons: groups nest as deep as the tasks did."""
    inner = errors.exceptions[0]
    if isinstance(inner, BaseExceptionGroup):
        return first_of(cast("BaseExceptionGroup[BaseException]", inner))
    return inner
