"""The one sanitiser for whatever goes into `uns`: what it returns survives h5ad and zarr unchanged, or it raises."""

import datetime
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

LARGEST = 2**63 - 1  # integers are stored in 64 bits


def sanitise(value: Any, where: str = "uns") -> Any:
    """Return `value` as dict, str, bool, int, float, None, array, CSR or DataFrame, nested; or raise saying where.

    Converted: mappings and dataclasses to dict (keys to str), tuples, lists, sets and indices to arrays, NumPy scalars
    to Python's, Path, Enum (its value) and dates to str, tensors to arrays, sparse matrices to CSR. Refused: keys with
    "/", lists that are ragged, mixed or hold None, complex numbers, functions and other objects.

    >>> sanitise({"lambdas": (0.05, 0.01), "device": None})
    {'lambdas': array([0.05, 0.01]), 'device': None}
    """
    if value is None or isinstance(value, bool | str | float) and not isinstance(value, Enum | np.generic):
        return value
    if isinstance(value, Enum):
        return sanitise(value.value, where)
    if isinstance(value, np.generic):
        return sanitise(np.asarray(value), where)
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise ValueError(f"{where}: the integer {value} does not fit into 64 bits; store it as a string.")
        return value
    if isinstance(value, PurePath | datetime.date):
        return value.isoformat() if isinstance(value, datetime.date) else str(value)
    if isinstance(value, Mapping):
        return {_key(key, where): sanitise(entry, f"{where}[{str(key)!r}]") for key, entry in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return sanitise({f.name: getattr(value, f.name) for f in fields(value)}, where)
    return _sanitise_array(value, where)


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str | int | np.integer):
        raise TypeError(f"{where}: keys must be strings, found {key!r} ({type(key).__name__}).")
    if "/" in str(key) or str(key) == "":
        raise ValueError(f"{where}: the key {str(key)!r} cannot be stored (HDF5 and zarr read '/' as a path).")
    return str(key)


def _sanitise_array(value: Any, where: str) -> Any:
    if sp.issparse(value):
        csr = sp.csr_matrix(value)
        csr.sort_indices()
        return csr
    if isinstance(value, pd.DataFrame):
        return _frame(value, where)
    if isinstance(value, pd.Categorical):
        return _frame(pd.DataFrame({"value": value}), where)["value"].array
    if isinstance(value, pd.Series | pd.Index):
        return _array(value.to_numpy(), where)
    if isinstance(value, np.ndarray):
        return _array(value, where)
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        return _array(value.detach().cpu().numpy(), where)
    if isinstance(value, set | frozenset):
        return _sequence(sorted(value, key=str), where)
    if isinstance(value, list | tuple | range):
        return _sequence(list(value), where)
    raise TypeError(
        f"{where} holds a {type(value).__name__}, which cannot be written to h5ad or zarr. Store plain numbers, "
        "strings, arrays, tables or dicts of them."
    )


def _sequence(items: list[Any], where: str) -> Any:
    """Lists come back as arrays from disk, so they are arrays at once."""
    items = [sanitise(item, f"{where}[{i}]") for i, item in enumerate(items)]
    kinds = {type(item) for item in items}
    if type(None) in kinds:
        raise TypeError(f"{where}: a list may not hold None; use NaN, an empty string or a dict.")
    if len(kinds - {int, float}) > (0 if kinds & {int, float} else 1):
        raise TypeError(f"{where}: a list of mixed types ({', '.join(sorted(k.__name__ for k in kinds))}); use a dict.")
    if kinds & {dict, pd.DataFrame, sp.csr_matrix}:
        raise TypeError(f"{where}: a list of {next(iter(kinds)).__name__}; use a dict with names as keys.")
    if kinds == {np.ndarray} and len({item.shape for item in items}) > 1:
        raise ValueError(f"{where}: a ragged list of arrays; use a dict with names as keys.")
    return _array(np.array(items, dtype=object if kinds == {str} else None), where)


def _array(array: np.ndarray[Any, Any], where: str) -> Any:
    if array.dtype.kind == "M":
        array = array.astype("datetime64[s]").astype(str)
    if array.dtype.kind == "O":
        if not all(isinstance(item, str) for item in array.ravel()):
            raise TypeError(f"{where}: an object array that holds something else than strings.")
        return array.item() if array.ndim == 0 else array
    if array.dtype.kind == "U":
        array = array.astype(object)
    elif array.dtype.kind not in "biuf":
        raise TypeError(f"{where}: arrays of dtype {array.dtype} cannot be stored.")
    return array.item() if array.ndim == 0 else array


def _frame(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    if isinstance(frame.columns, pd.MultiIndex) or isinstance(frame.index, pd.MultiIndex):
        raise TypeError(f"{where}: a table with a MultiIndex; run reset_index() and join the column names.")
    columns = {_key(name, where): _column(frame[name], f"{where}[{str(name)!r}]") for name in frame.columns}
    if len(columns) < frame.shape[1]:
        raise ValueError(f"{where}: a table with a column name twice.")
    clean = pd.DataFrame(columns, index=frame.index)
    clean.index = clean.index.astype(str)
    return clean


def _column(column: pd.Series, where: str) -> pd.Series:
    """Return a column that h5ad can hold: numbers, bools, strings without gaps, or categories of strings."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _as_strings(column)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        values = pd.Series(column.to_numpy(), index=column.index)
        return values if values.dtype != object else column.astype("Float64").astype("float64")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = column.astype(str)
    present = column.dropna()
    if isinstance(column.dtype, pd.StringDtype) or all(isinstance(item, str) for item in present):
        if len(present) < len(column):
            return _as_strings(column.astype("category"))
        return column.astype(object)
    inferred = column.infer_objects()
    if inferred.dtype == object:
        raise TypeError(f"{where}: a column of mixed objects ({type(present.iloc[0]).__name__}, ...).")
    return _column(inferred, where)


def _as_strings(column: pd.Series) -> pd.Series:
    """Categories that are neither strings nor numbers become strings."""
    if column.cat.categories.dtype.kind in "OUSbiuf" or isinstance(column.cat.categories.dtype, pd.StringDtype):
        return column
    return column.cat.rename_categories([str(category) for category in column.cat.categories])
