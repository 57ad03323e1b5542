"""Pieces of a page of HTML: sections, tables and the frame, all in one text without any other file."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

import numpy as np
import pandas as pd

DIGITS = 4
SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")


def section(title: str, *parts: str) -> str:
    """Return a section, or nothing where all its parts are empty."""
    body = "".join(part for part in parts if part)
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n" if body else ""


def note(text: str) -> str:
    """Return a paragraph of explanation."""
    return f'<p class="note">{escape(text)}</p>'


def table(found: pd.DataFrame, *, bars: str | None = None) -> str:
    """Return a table; `bars` names a column that is also drawn as bars."""
    numeric = [pd.api.types.is_numeric_dtype(found[name]) and found[name].dtype != bool for name in found]
    heads = "".join(f"<th{_number(n)}>{escape(str(name))}</th>" for name, n in zip(found, numeric, strict=True))
    longest = float(np.nanmax(np.abs(found[bars].to_numpy(float)), initial=0.0)) if bars else 0.0
    rows = []
    for values in found.itertuples(index=False):
        cells = "".join(
            f"<td{_number(n)}>{escape(_shown(value))}</td>" for value, n in zip(values, numeric, strict=True)
        )
        if bars and longest > 0:
            value = float(values[list(found).index(bars)])
            side = " negative" if value < 0 else ""
            cells += f'<td><span class="bar{side}" style="width:{abs(value) / longest * 160:.0f}px"></span></td>'
        rows.append(f"<tr>{cells}</tr>")
    return f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return names and values in two columns."""
    rows = "".join(f"<tr><th>{escape(str(name))}</th><td>{escape(_shown(value))}</td></tr>" for name, value in pairs)
    return f'<div class="wide"><table>{rows}</table></div>' if rows else ""


def verdict(report: str) -> str:
    """Return the report in words, its first sentence set off."""
    line, _, more = report.strip().partition("\n")
    first, *sentences = SENTENCE.split(line)
    rest = "\n".join([" ".join(sentences), more]) if sentences else more
    return f'<p class="verdict">{escape(first)}</p>' + (f"<pre>{escape(rest)}</pre>" if rest.strip() else "")


def page(title: str, subtitle: str, sections: Sequence[str]) -> str:
    """Return the whole page with its style and script inside."""
    style, script = (files("scdash.get").joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>{note(subtitle)}\n{''.join(sections)}<script>{script}</script></body></html>\n"
    )


def _number(numeric: bool) -> str:  # noqa: FBT001
    return ' class="n"' if numeric else ""


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.{DIGITS}g}" if isinstance(value, float | np.floating) else str(value)
