"""Saved guests, by the name of their image.

An image is emptied when it is restored, and only its ids remain, so that who asks again can be
told. Both kinds are bounded: too many that wait are refused, and of the emptied ones the oldest
is forgotten.
"""

from dataclasses import dataclass, replace

from agent.contract.frames import DomId
from emulator.xen.beings import Being

IMAGES_MAX = 1 << 10


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A saved guest: `being` until it is restored, `restored_as` from then on."""

    saved_from: DomId
    being: Being | None
    restored_as: DomId | None = None


class Images:
    """At most `IMAGES_MAX` that wait, and as many that were restored."""

    def __init__(self) -> None:
        self._waiting: dict[str, Image] = {}
        self._restored: dict[str, Image] = {}

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= IMAGES_MAX

    def waiting(self) -> tuple[str, ...]:
        """The names of those that are yet to be restored."""
        return tuple(self._waiting)

    def guests(self) -> set[str]:
        """The names of the guests in these."""
        beings = (image.being for image in self._waiting.values())
        return {being.spec.name for being in beings if being is not None}

    def get(self, name: str) -> Image | None:
        return self._waiting.get(name) or self._restored.get(name)

    def being_in(self, name: str) -> Being:
        """The guest that waits in an image.

        Raises:
            KeyError: if none does.
        """
        image = self._waiting[name]
        if image.being is None:
            raise KeyError(name)
        return image.being

    def empty(self, name: str, restored_as: DomId) -> None:
        """The guest of that image, which waited, is this domain now."""
        self.put(name, replace(self._waiting[name], being=None, restored_as=restored_as))

    def put(self, name: str, image: Image) -> None:
        """Keep `image` in place of what had its name."""
        self._waiting.pop(name, None)
        self._restored.pop(name, None)
        if image.being is not None:
            self._waiting[name] = image
            return
        self._restored[name] = image
        if len(self._restored) > IMAGES_MAX:
            del self._restored[next(iter(self._restored))]
