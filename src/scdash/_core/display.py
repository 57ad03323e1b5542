"""What a result shows of itself: a title and a few named facts, as text and as HTML for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape

SHOWN = 5  # names of a long list that are spelled out
STYLE = "text-align:left;vertical-align:top;padding:2px 12px 2px 0;white-space:pre-wrap"

Facts = Sequence[tuple[str, str]]


def first_names(names: Sequence[str], most: int = SHOWN, rest: str = ", ...") -> str:
    """Return the first names, and what stands for the rest, `{}` for their number.

    >>> first_names(["MYOG", "MEF2C", "TTN"], 1, " and {} more")
    'MYOG and 2 more'
    """
    return ", ".join(names[:most]) + (rest.format(len(names) - most) if len(names) > most else "")


def some_names(names: Iterable[object], what: str = "genes") -> str:
    """Return a count and the first names.

    >>> some_names(["MYOG", "MEF2C"])
    '2 genes: MYOG, MEF2C'
    """
    listed = [str(name) for name in names]
    return f"{len(listed):,} {what}: {first_names(listed)}"


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the rows of a small table of texts as indented lines, every column but the last of one width.

    >>> aligned([("model", "0.08", ""), ("constant", "1.00", "(no prediction)")])
    ['  model     0.08', '  constant  1.00  (no prediction)']
    """
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    cells = ([f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=True)] + [row[-1]] for row in rows)
    return ["  " + "  ".join(one).rstrip() for one in cells]


def as_text(title: str, facts: Facts) -> str:
    """Return a title and its facts in two aligned columns."""
    width = max((len(name) for name, _ in facts), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in facts)])


def as_html(title: str, facts: Facts) -> str:
    """Return the same as a small table."""
    rows = "".join(
        f'<tr><th style="{STYLE}">{escape(name)}</th><td style="{STYLE}">{escape(value)}</td></tr>'
        for name, value in facts
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"
