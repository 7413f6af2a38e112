"""Things that belong together because something joins them, directly or through others."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)


class Groups(Generic[Thing]):
    """Groups that grow together: each thing is its own at first."""

    def __init__(self, things: Iterable[Thing] = ()) -> None:
        self._leader = {thing: thing for thing in things}

    def of(self, thing: Thing) -> Thing:
        """The thing that stands for the whole group."""
        leader = self._leader.setdefault(thing, thing)
        while leader != self._leader[leader]:
            leader = self._leader[leader] = self._leader[self._leader[leader]]
        self._leader[thing] = leader
        return leader

    def join(self, one: Thing, other: Thing) -> None:
        """Make one group of two."""
        self._leader[self.of(other)] = self.of(one)
