"""A name -> object table that refuses duplicates and suggests near matches."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from scdash._core.errors import check_choice

T = TypeVar("T")


class Registry(Generic[T]):
    """Named objects of one kind, e.g. vector fields.

    >>> fields = Registry("vector field")
    >>> fields.register("phoenix")(object)
    <class 'object'>
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under `name`; a name taken is an error."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"A {self.kind} named {name!r} is registered already: {self._entries[name]!r}.")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        check_choice(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
