"""What operators ask of the running agent, over its own Unix socket: pages out of use, or back.

A request is a POST to `View.REQUESTS`. Its id is made by who asks, so that asking twice is asking
once. It is written down before anything is done, and outlives the agent; a GET of the same path
with the id behind it tells how far it is.
"""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from agent.contract.ereport import Wire
from agent.contract.hypercall import MfnField
from agent.contract.status import Rest

_CASE = re.compile(r"c\d+")

RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


def is_of_a_case(name: str) -> bool:
    """True for `c17`: what a case is called, and so no request may be."""
    return _CASE.fullmatch(name) is not None


class Wish(StrEnum):
    OFFLINE = "offline"
    EVACUATE = "evacuate"
    ONLINE = "online"
    CANCEL = "cancel"

    @property
    def granted(self) -> Rest:
        """Where the case of a page is when this came true for it."""
        return Rest.RETIRED if self in {Wish.OFFLINE, Wish.EVACUATE} else Rest.RETURNED


# What each wish is about.
NAMED_BY: dict[Wish, tuple[str, ...]] = {
    Wish.OFFLINE: ("first", "last"),
    Wish.EVACUATE: ("dimm",),
    Wish.ONLINE: ("first", "last"),
    Wish.CANCEL: ("case",),
}


class Ask(Wire):
    """Pages `first` to `last`, both included; or all of a DIMM; or the page of a case."""

    id: RequestId
    wish: Annotated[Wish, Field(strict=False)]
    first: MfnField | None = None
    last: MfnField | None = None
    dimm: Annotated[str, Field(max_length=128)] | None = None
    case: Annotated[str, Field(max_length=64)] | None = None
    beyond_cap: bool = False

    @model_validator(mode="after")
    def _names_what_it_is_about(self) -> Self:
        named = {"first": self.first, "last": self.last, "dimm": self.dimm, "case": self.case}
        given = tuple(key for key, value in named.items() if value is not None)
        wanted = NAMED_BY[self.wish]
        if given != wanted:
            text = " and ".join(wanted)
            raise ValueError(f"{self.wish} names {text} ({' and '.join(given) or 'none'} given)")
        if self.first is not None and self.last is not None and self.last < self.first:
            raise ValueError(f"last must not be below first (got {self.first} to {self.last})")
        return self


class Came(Wire):
    """What became of so many pages; `rest` is none for pages that no case is about.

    `reason` is a word for programs, `text` the same for people.
    """

    rest: Annotated[Rest, Field(strict=False)] | None = None
    reason: str | None = None
    text: str = ""
    pages: int


class RequestView(Wire):
    """A request, and how far it is. `left` are the pages that nothing has come of yet.

    `is_cancelled`: no page more is begun; those that were under way still go to their end.
    """

    id: str
    wish: Annotated[Wish, Field(strict=False)]
    what: str
    pages: int
    left: int
    asked_at: float
    is_cancelled: bool = False
    came: Annotated[tuple[Came, ...], Field(strict=False)] = ()

    @property
    def is_over(self) -> bool:
        return self.left == 0

    @property
    def granted(self) -> int:
        """Pages for which it came true."""
        return sum(came.pages for came in self.came if came.rest is self.wish.granted)


class RequestsView(Wire):
    requests: Annotated[tuple[RequestView, ...], Field(strict=False)]
