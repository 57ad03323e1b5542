"""Errors and checks of options: every message names the argument, what was found and what to do about it."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

# types of options, in words, and which numbers count as one
WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    NoneType: "None",
}
NUMBERS: dict[Any, type] = {int: Integral, float: Real}


class NotFittedError(KeyError):
    """A result was asked for under a key that holds none."""

    def __str__(self) -> str:  # KeyError shows its repr, which makes a sentence unreadable
        return str(self.args[0])


class NotConvergedError(ArithmeticError):
    """A computation did not settle: its result still changes when it is done more carefully, or it never comes to rest."""


class NonFiniteError(FloatingPointError):
    """A computation left the finite numbers; the message says where and what to change."""


def unused(name: str, why: str) -> ValueError:
    """Return the error for an argument that was given and would have no effect."""
    return ValueError(f"{name} would have no effect: {why}. Leave {name} out.")


@contextmanager
def memory_hint(remedy: str) -> Iterator[None]:
    """Turn running out of memory, on the device or the host, into an error that names what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # by name: torch is not to be imported here, and its CPU allocator raises a plain RuntimeError
        known = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
        if not known and "can't allocate memory" not in str(error):
            raise
        raise MemoryError(f"Out of memory: {str(error).splitlines()[0] if str(error) else 'host'} {remedy}") from error


SHOWN = 8  # names listed in a message
# fraction of common letters from which names are near: of relatives, of mistyped names, and of those with another first letter
RELATED, MISTYPED, OTHER_FIRST = 0.6, 0.8, 0.85


def check_data(data: object) -> None:
    """Raise unless `data` is an AnnData or MuData, by its slots: their import is slow and not needed here."""
    if not (hasattr(data, "uns") and hasattr(data, "obs") and hasattr(data, "var_names")):
        raise TypeError(f"adata must be an AnnData, found {type(data).__name__}.")


def near_names(name: str, available: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the available names nearest to `name`: those that differ by case alone, or else similar ones, at most so many.

    >>> near_names("gata1", ["Gata1", "Gata2", "Hbb"])
    ['Gata1']
    >>> near_names("Gata1", ["Atp5a1", "Gstm1", "Mat2a"])
    []
    """
    by_lower: dict[str, list[str]] = {}
    for option in available:
        by_lower.setdefault(str(option).lower(), []).append(str(option))
    text = str(name).lower()
    found = [text] if text in by_lower else _similar(text, by_lower)
    return list(dict.fromkeys(option for one in found for option in by_lower[one]))[:most]


def _similar(text: str, options: Iterable[str]) -> list[str]:
    """Return the options that share enough letters with a text in the same order, the most similar first.

    Options that begin as the text does, by more than half of the shorter of both, may differ more behind that: related genes
    do (HBZ, HBB); so may those that contain it (dpt_pseudotime, pseudotime) or have the same letters (warm, wram). All others
    must be as alike as a mistyped name is, the first letter of which is seldom wrong. Otherwise a gene that is simply absent is
    answered with genes that share a few scattered letters with it.
    """
    matcher, alike = difflib.SequenceMatcher(None, "", text), {}
    for option in options:
        begun = len(os.path.commonprefix([option, text])) > min(len(option), len(text)) / 2
        if begun or (text in option and len(text) > 3) or sorted(option) == sorted(text):
            least = RELATED
        else:
            least = MISTYPED if option[:1] == text[:1] else OTHER_FIRST
        matcher.set_seq1(option)
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= least and matcher.ratio() >= least:
            alike[option] = matcher.ratio()
    return sorted(alike, key=lambda option: (alike[option], option), reverse=True)


def suggest(name: str, available: Iterable[str]) -> str:
    """Return " Did you mean ...? Available: ..." for an unknown name, with near matches first."""
    options = [str(option) for option in available]
    near = near_names(name, options)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(options[:SHOWN]) + (f", ... ({len(options)} in all)" if len(options) > SHOWN else "")
    return f"{hint} Available: [{listed}]."


def check_arguments(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise, as Python does, for a keyword argument that `function` does not know, with near matches."""
    options = list(known)
    for name in given:
        if name not in options:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}.{suggest(name, options)}")


def unknown(argument: str, name: object, available: Iterable[str]) -> ValueError:
    """Return the error for a value of `argument` that is not among the `available` ones."""
    return ValueError(f"Unknown {argument} {name!r}.{suggest(str(name), available)}")


def check_choice(argument: str, value: object, options: Iterable[str]) -> None:
    """Raise unless the value of `argument` is one of the `options`."""
    known = list(options)
    if value not in known:
        raise unknown(argument, value, known)


def check_least(argument: str, value: float | None, least: float) -> None:
    """Raise where the value of `argument` is given and smaller than `least`."""
    if value is not None and value < least:
        raise ValueError(f"{argument} must be at least {least}, found {value!r}.")


def check_options(value: Any) -> None:
    """Raise where a field of a frozen dataclass is not of the type it declares; lists for tuples become tuples, in place."""
    hints = _hints(type(value))
    for one in fields(value):
        given = getattr(value, one.name)
        found = checked(f"{one.name} of {type(value).__name__}", given, hints.get(one.name, Any))
        if found is not given:
            object.__setattr__(value, one.name, found)


def checked(argument: str, value: Any, hint: Any) -> Any:
    """Return a value of the type `hint`, integers of NumPy as Python's and lists as tuples; raise where it is not.

    Types that cannot be checked, such as functions, are left as they are.

    >>> checked("sizes", [1, 2], tuple[int, ...])
    (1, 2)
    """
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _one_of(argument, value, get_args(hint))
    if origin is Literal:
        check_choice(argument, value, get_args(hint))
        return value
    if origin is tuple:
        return _tuple(argument, value, get_args(hint))
    kind: Any = origin or hint
    if not isinstance(kind, type):
        return value
    allowed: Any = NUMBERS.get(kind, kind)
    if isinstance(value, bool) != (kind is bool) and kind in WORDS or not isinstance(value, allowed):
        raise TypeError(f"{argument} must be {_words(hint)}, found {value!r}.")
    if kind is float and value != value:
        raise ValueError(f"{argument} must be a number, found {value!r}.")
    return int(value) if kind is int else value


def _one_of(argument: str, value: Any, hints: Sequence[Any]) -> Any:
    """Return the value as the first of several types that it has."""
    for hint in hints:
        try:
            return checked(argument, value, hint)
        except (TypeError, ValueError):
            continue
    raise TypeError(f"{argument} must be {' or '.join(_words(hint) for hint in hints)}, found {value!r}.")


def _tuple(argument: str, value: Any, hints: Sequence[Any]) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError(f"{argument} must be a tuple, found {value!r}.")
    name, _, rest = argument.partition(" ")
    same = len(hints) == 2 and hints[1] is Ellipsis
    if not same and len(hints) != len(value):
        raise ValueError(f"{argument} must have {len(hints)} entries, found {value!r}.")
    if same and isinstance(value, tuple) and set(map(type, value)) <= {hints[0]}:
        return value  # a million edges are a matter of milliseconds
    each = [hints[0]] * len(value) if same else hints
    return tuple(
        checked(f"{name}[{place}]{' ' if rest else ''}{rest}", entry, hint)
        for place, (entry, hint) in enumerate(zip(value, each, strict=True))
    )


def _words(hint: Any) -> str:
    return WORDS[hint] if hint in WORDS else str(getattr(hint, "__name__", hint))


def _hints(kind: Any) -> Mapping[str, Any]:
    """Return the types that a class declares; those that cannot be found from where it is defined are not checked."""
    try:
        return get_type_hints(kind)
    except NameError:
        return {}
