"""Error helpers: every message names the argument, what was found and what to do about it."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


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


def check_data(data: object, argument: str = "adata") -> None:
    """Raise unless `data` is an AnnData or MuData, by its slots: their import is slow and not needed here."""
    if not (hasattr(data, "uns") and hasattr(data, "obs") and hasattr(data, "var_names")):
        raise TypeError(f"{argument} must be an AnnData, found {type(data).__name__}.")


def near_names(name: str, available: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the available names nearest to `name`: those that differ by case alone, or else similar ones, at most so many.

    >>> near_names("gata1", ["Gata1", "Gata2", "Hbb"])
    ['Gata1']
    """
    by_lower: dict[str, list[str]] = {}
    for option in available:
        by_lower.setdefault(str(option).lower(), []).append(str(option))
    text = str(name).lower()
    found = [text] if text in by_lower else difflib.get_close_matches(text, list(by_lower), n=most, cutoff=0.6)
    return list(dict.fromkeys(option for one in found for option in by_lower[one]))[:most]


def suggest(name: str, available: Iterable[str], *, shown: int = 8) -> str:
    """Return " Did you mean ...? Available: ..." for an unknown name, with near matches first."""
    options = [str(option) for option in available]
    near = near_names(name, options)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(options[:shown]) + (f", ... ({len(options)} in all)" if len(options) > shown else "")
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
