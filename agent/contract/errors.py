"""Whose doing it was.

Expected trouble is a value (an outcome with a row in a table). What remains are broken promises,
and they come in two families: `AgentError`, ours or our operator's, and `PeerError`, somebody
else's. The message is one line and carries the fix.
"""

from typing import cast


class AgentError(Exception):
    """Our doing, or our operator's: a bad configuration, a port in use, a full disk."""


class PeerError(Exception):
    """A peer's doing: it did not answer, or answered what the contract does not allow."""


class Malformed(PeerError):  # noqa: N818 - it is a judgement on a message, read as one: `except Malformed`
    """A message that is not what the contract says; the text names the field and what is wrong."""


class Unreachable(PeerError):  # noqa: N818 - read as a state of the peer: `except Unreachable`
    """A peer did not answer within its deadline. What it did meanwhile is not known: ask again."""


def first_of(error: Exception) -> Exception:
    """The first trouble of tasks that ended together; groups nest as deep as the tasks did."""
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return error
