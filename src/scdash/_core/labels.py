"""Names: of groups made of several labels, for people to read and never to be taken apart again, and of results.

What a group consists of is kept in columns and integer codes. A name only has to be unique: labels of users hold every
character that could separate them. Names of results must be fit for h5ad and zarr.
"""

from collections.abc import Iterable, Sequence

FORBIDDEN = "/"  # HDF5 and zarr read it as a path
CONTROL_GUIDES = (
    r"^(?:[pm]_)?(?:sg(?:RNA)?[-_. ]?)?(?:"
    r"(?:ntc?|neg|ctrl|scr)(?:g?\d+)?(?:[-_. #:].*)?"
    r"|(?:non[-_. ]?target\w*|no[-_. ]?target\w*|neg(?:ative)?[-_. ]?(?:ctrl|control)\w*|controls?|ctrls?|scrambled?"
    r"|safe[-_. ]?(?:target\w*|harbou?r)|intergenic|(?:one[-_. ])?non[-_. ]gene)(?:g?\d+)?(?:[^A-Za-z0-9].*)?"
    r")$"
)
"""Names of guides that target nothing: NTg3, NTC_1, non-targeting_0001, negCtrl0, safe-targeting-2, scrambled, ..."""


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


def resampled_names(names: Sequence[str], n_draws: int) -> list[tuple[str, ...]]:
    """Return the names of the trajectories (first) and of each further draw of their cells, all of them different.

    >>> resampled_names(["a", "a#1"], 1)
    [('a', 'a#1'), ('a#1 (2)', 'a#1#1')]
    """
    found = [tuple(names)]
    for draw in range(1, n_draws + 1):
        taken = [name for earlier in found for name in earlier]
        found.append(unique_names([f"{name}#{draw}" for name in names], taken))
    return found


def check_key(key: object, argument: str = "key_added") -> str:
    """Return `key`, or raise unless it can name slots of AnnData and MuData that are written to h5ad and zarr."""
    if not isinstance(key, str):
        raise ValueError(f"{argument} must be a string without '/', found {key!r} ({type(key).__name__}).")
    if not key.strip() or key.strip(".") == "" or FORBIDDEN in key or "\0" in key:
        raise ValueError(
            f"{argument} must be a non-empty string without '/' (HDF5 and zarr read it as a path), found {key!r}. "
            f"Choose another name, for example {suggestion(key)!r}."
        )
    return key


def suggestion(key: str) -> str:
    """Return a name near `key` that can be written.

    >>> suggestion("prior/chip")
    'prior_chip'
    """
    return key.replace(FORBIDDEN, "_").replace("\0", "_").strip(" .") or "result"
