"""Time as users hold it: the one reader of columns of time, and the standard unit in which models are fitted."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.display import first_names
from scdash._data.labels import read_labels

STANDARD_DURATION = 9.0
"""Length of the longest trajectory in the standard unit: that of the simulations which the training settings, taken from
the published code, were made for."""
DIGITS = 10
"""Decimals that are kept of a time in the standard unit, so that the same times in another unit give the same numbers."""

HOURS = {
    "seconds": 1 / 3600,
    "minutes": 1 / 60,
    "hours": 1.0,
    "days": 24.0,
    "weeks": 168.0,
    "months": 730.5,
    "years": 8766.0,
}
"""Length of each unit in hours."""
NAMES = {
    "seconds": ("s", "sec", "secs", "second", "seconds"),
    "minutes": ("min", "mins", "minute", "minutes"),
    "hours": ("h", "hr", "hrs", "hour", "hours", "hpf", "hpi"),
    "days": ("d", "day", "days", "dpf", "dpi", "dpc", "dps"),
    "weeks": ("w", "wk", "wks", "week", "weeks"),
    "months": ("mo", "mon", "month", "months"),
    "years": ("y", "yr", "yrs", "year", "years"),
}
UNITS = {name: unit for unit, names in NAMES.items() for name in names}
STAGES = {"e": "embryonic days", "p": "postnatal days"}  # before the number only; never mixed with other units
PLAIN = {"t", "tp", "time", "timepoint", "time point"}  # before the number; they name no unit
NUMBER = r"\d+(?:\.\d+)?|\.\d+"
TEXT = re.compile(
    rf"^(?P<before>[A-Za-z]+(?: [A-Za-z]+)?)?(?P<gap>[ _.:]*)(?P<number>(?:(?<![A-Za-z])[-+])?(?:{NUMBER}))"
    r"[ _]*(?P<after>[A-Za-z]+)?\.?$"
)


class Times(NamedTuple):
    """Times as numbers, NaN where missing, and their unit (None: that of the column, which is not known)."""

    values: NDArray[np.float64]
    unit: str | None


def read_time(time: Any, name: str, *, finite: bool = True) -> Times:
    """Return the times in a column (`parse_time`), checked: finite unless told otherwise, and not all the same."""
    found = parse_time(time, name)
    if finite:
        _check_finite(found.values, time, name)
    present = found.values[np.isfinite(found.values)]
    if present.size == 0 or present.min() == present.max():
        raise ValueError(f"{name} is constant ({present[:1].tolist()}): there is no time to learn dynamics along.")
    return found


def parse_time(time: Any, name: str) -> Times:
    """Return the times in a column, NaN where missing.

    Read are numbers (also nullable ones, as text, and as ordered or other categories); timedelta, which becomes hours;
    dates, which become hours since the first one; and numbers with a unit: "D2", "day 2", "24h", "E8.5". Where units are
    mixed all become the smallest one.

    Raises TypeError if entries cannot be read as times; the error shows some of them.
    """
    column = _plain(time)
    if pd.api.types.is_bool_dtype(column.dtype):
        raise TypeError(f"{name} must hold times, found dtype {column.dtype} (True and False are no times).")
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return Times(column.dt.total_seconds().to_numpy(dtype=np.float64) / 3600, "hours")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return Times((column - column.min()).dt.total_seconds().to_numpy(dtype=np.float64) / 3600, "hours")
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return Times(column.to_numpy(dtype=np.float64, na_value=np.nan), None)
    return _from_texts(column, name)


def time_in_unit(read: Times, unit: str | None, name: str) -> NDArray[np.float64]:
    """Return times in another unit; times without a unit are in that one.

    Raises ValueError if the times have a unit that cannot be turned into the other one, or the other one is not known.
    """
    if read.unit in (None, unit):
        return read.values
    if read.unit not in HOURS or unit not in HOURS:
        raise ValueError(
            f"{name} are in {read.unit}, the times of the fit in {unit or 'a unit that it does not know'}; give numbers in the "
            "unit of the fit."
        )
    return np.asarray(read.values * _factor(read.unit, unit))


def _plain(time: Any) -> pd.Series:
    """Return the column without categories, and objects of one kind in the type of that kind."""
    column = time.reset_index(drop=True) if isinstance(time, pd.Series) else pd.Series(time)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = pd.Series(column.dt.to_timestamp())
    return column.infer_objects() if column.dtype == object else column


def _from_texts(column: pd.Series, name: str) -> Times:
    """Return the times that texts such as "D2" stand for."""
    labels = read_labels(column)
    texts = [str(text) for text in labels.cat.categories]
    parsed = [_parse(text) for text in texts]
    units = {unit for found in parsed if found is not None for number, unit in [found] if number or unit}
    wrong = [text for text, found in zip(texts, parsed, strict=True) if found is None]
    if wrong or (len(units) > 1 and not units <= set(HOURS)):
        raise TypeError(
            _unreadable(wrong or texts, name, len(texts), "" if wrong else " with units that cannot be mixed")
        )
    unit = None if not units else min(units, key=lambda one: HOURS.get(str(one), 0.0))
    numbers = [found[0] * _factor(found[1], unit) for found in parsed if found is not None]
    return Times(np.array([*numbers, np.nan])[labels.cat.codes.to_numpy()], unit)


def _factor(unit: str | None, wanted: str | None) -> float:
    return 1.0 if unit == wanted or unit is None or wanted is None else HOURS[unit] / HOURS[wanted]


def _parse(text: str) -> tuple[float, str | None] | None:
    """Return the number and the unit of a text, None where it is not read with certainty."""
    try:
        return float(text), None
    except ValueError:
        pass
    match = TEXT.match(text.strip())
    if match is None:
        return None
    before, after = ((match[part] or "").lower() for part in ("before", "after"))
    number = float(match["number"])
    if after:
        return (number, UNITS[after]) if after in UNITS and (not before or before in PLAIN) else None
    if before in STAGES and not match["gap"]:
        return number, STAGES[before]
    if before in UNITS and before not in ("s", "y"):  # "S1" and "Y1" are names of samples
        return number, UNITS[before]
    return (number, None) if before in PLAIN else None


def _unreadable(wrong: list[str], name: str, of: int, why: str) -> str:
    shown = first_names([repr(text) for text in wrong], 4)
    return (
        f"{name} must hold numbers or texts that are times; found {shown} ({len(wrong)} of {of} different "
        f"values){why}. Read are numbers, timedelta, dates, and numbers with a unit such as 'D2', 'day 2', '24h' or 'E8.5'. "
        "Give every label its time yourself, for example adata.obs['hours'] = "
        f"adata.obs[key].map({{{wrong[0]!r}: 0, ...: 24}}).astype(float)."
    )


def _check_finite(values: NDArray[np.float64], column: Any, name: str) -> None:
    """Raise where times are infinite, or missing, and say how to leave these observations out."""
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    count = f"for {int(bad.sum())} of {len(values)} observations"
    place = name if name.startswith("adata.obs[") else "adata.obs[key]"
    if np.isinf(values).any():
        raise ValueError(
            f"{name} is NaN or infinite {count}. Cells that no path from the root reaches have an infinite pseudotime: "
            f"order them per component, or subset first, e.g. adata = adata[np.isfinite({place})].copy()."
        )
    written = sorted({str(text) for text in pd.Series(np.asarray(column, dtype=object))[bad].dropna()})
    kept = f"~{place}.isin({written})" if written else f"{place}.notna()"
    raise ValueError(f"{name} is NaN {count}: fill in their times, or leave them out, adata = adata[{kept}].copy().")


@dataclass(frozen=True)
class StandardTime:
    """How times of the user become times of the fit: (time - origin) / scale, the same numbers whatever the user's unit."""

    origin: float = 0.0
    scale: float = 1.0  # length of the fit's unit of time, in the user's unit

    @classmethod
    def of(cls, times: NDArray[np.float64], trajectory: NDArray[np.int64]) -> "StandardTime":
        """Return the unit in which the longest trajectory lasts `STANDARD_DURATION`."""
        spans = pd.Series(times).groupby(np.asarray(trajectory)).agg(np.ptp)
        return cls(float(times.min()), float(spans.max()) / STANDARD_DURATION)

    def apply(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return times in the fit's unit; times that rounding would make equal keep all their digits."""
        exact = (times - self.origin) / self.scale
        rounded = np.round(exact, DIGITS)
        return rounded if len(np.unique(rounded)) == len(np.unique(exact)) else exact
