"""Names of groups made of several labels: for people to read, never to be taken apart again.

What a group consists of is kept in columns and integer codes. A name only has to be unique: labels of users hold every
character that could separate them.
"""

from collections.abc import Iterable, Sequence


def unique_names(names: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names in their order, a number added where a name occurs again or is in `taken`.

    >>> unique_names(["a:b", "c", "a:b"])
    ('a:b', 'c', 'a:b (2)')
    """
    listed = list(names)
    used, reserved = set(taken), set(listed)
    found = []
    for name in listed:
        candidate, number = name, 2
        while candidate in used or (candidate != name and candidate in reserved):
            candidate, number = f"{name} ({number})", number + 1
        used.add(candidate)
        found.append(candidate)
    return tuple(found)


def group_names(columns: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return one name for every group from its label in each column, unique also where labels hold a colon.

    >>> group_names([["a", "a:b"], ["b:c", "c"]])
    ('a:b:c', 'a:b:c (2)')
    """
    return unique_names(":".join(labels) for labels in zip(*columns, strict=True))


def redrawn_names(names: Sequence[str], n_draws: int) -> list[tuple[str, ...]]:
    """Return the names of the trajectories (first) and of each further draw of their cells, all of them different.

    >>> redrawn_names(["a", "a#1"], 1)
    [('a', 'a#1'), ('a#1 (2)', 'a#1#1')]
    """
    found = [tuple(names)]
    for draw in range(1, n_draws + 1):
        taken = [name for earlier in found for name in earlier]
        found.append(unique_names([f"{name}#{draw}" for name in names], taken))
    return found
