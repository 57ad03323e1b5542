"""How the files of prior networks are laid out: reading, recognising, and turning each into edges with signs."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from scdash._core.errors import suggest

Layout = Literal["long", "matrix", "peaks"]

NAMES = {
    "source": ("source", "source_genesymbol", "tf", "regulator", "from", "tf_name", "transcription_factor"),
    "target": ("target", "target_genesymbol", "gene", "target_gene", "to", "gene_name"),
    "weight": ("weight", "mor", "mode", "sign", "motif", "score", "force", "interaction", "effect", "type"),
}
_PEAK_GENE = "gene_short_name"
_NOT_REGULATORS = ("peak_id", "peak", "Unnamed: 0", "index")
_WORDS = {
    **dict.fromkeys(("activation", "activates", "activator", "stimulation", "positive", "up", "+", "1", "+1"), 1),
    **dict.fromkeys(("repression", "represses", "repressor", "inhibition", "negative", "down", "-", "-1"), -1),
    **dict.fromkeys(("unknown", "undefined", "", "0", "nan", "?", "both", "dual"), 0),
}


def read_table(path: "str | Path | pd.DataFrame", *, unnamed: bool) -> tuple[pd.DataFrame, str]:
    """Return the file as a table and its name; without a header the columns are numbered."""
    if isinstance(path, pd.DataFrame):
        return _index_as_column(path), "the table"
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"read_prior: there is no file {path}.")
    if path.suffix == ".parquet":
        return _index_as_column(pd.read_parquet(path)), path.name
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        first = [line.rstrip("\r\n") for line, _ in zip(lines, range(2), strict=False)]
    if not first or not first[0]:
        raise ValueError(f"read_prior: {path.name} is empty.")
    separator = max(("\t", ",", ";", " "), key=first[0].count)
    header = None if unnamed or not _is_header([line.split(separator) for line in first]) else 0
    # "NA" and "NaN" are not gaps here: they may be gene names
    return pd.read_csv(path, sep=separator, header=header, keep_default_na=False, na_values=[""]), path.name


def _index_as_column(table: pd.DataFrame) -> pd.DataFrame:
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index(names="index")


def _is_header(first: list[list[str]]) -> bool:
    """A first line is a header when it names known columns, or holds text where the next line holds numbers."""
    known = {name for names in NAMES.values() for name in names} | {_PEAK_GENE}
    cells = [cell.strip().strip('"') for cell in first[0]]
    if sum(cell.lower() in known for cell in cells) >= 2:
        return True
    below = first[1] if len(first) > 1 else first[0]
    return any(_is_number(b) and not _is_number(a) for a, b in zip(cells, below, strict=False))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip().lower() not in ("nan", "inf", "infinity")


def detect(table: pd.DataFrame, columns: Mapping[str, str | None], *, unnamed: bool) -> Layout:
    """Return the layout of a table, or raise with what was found."""
    if unnamed:
        return "matrix"
    if columns["source"] is not None or columns["target"] is not None:
        return "long"
    if _PEAK_GENE in table:
        return "peaks"
    if _find(table, "source") is not None and _find(table, "target") is not None:
        return "long"
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    if _headerless(table) and not any(numeric[:2]):
        return "long"
    if table.shape[1] > 2 and not numeric[0] and all(numeric[1:]):
        return "matrix"
    shown = [str(column) for column in table.columns[:8]]
    if all(numeric):
        raise ValueError(
            f"read_prior: a table of {table.shape[0]} x {table.shape[1]} numbers without names; pass genes= (names of "
            "the columns) and, if the rows are others, regulators=."
        )
    raise ValueError(
        f"read_prior: layout not recognised, columns {shown}; pass source=, target= (and weight=), or layout=."
    )


def _headerless(table: pd.DataFrame) -> bool:
    return all(isinstance(column, int | np.integer) for column in table.columns) and table.shape[1] <= 6


def _find(table: pd.DataFrame, role: str) -> str | None:
    by_name = {str(column).lower(): str(column) for column in table.columns}
    return next((by_name[name] for name in NAMES[role] if name in by_name), None)


def from_long(
    table: pd.DataFrame, columns: Mapping[str, str | None], confidence: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return edges of a table with an edge a row: source, target, size, sign."""
    if _headerless(table) and all(value is None for value in columns.values()):
        # TRRUST and PANDA: regulator, target, then mode or 0/1
        table = table.rename(columns={0: "source", 1: "target", 2: "weight"})
    for role in ("source", "target"):
        given = columns[role] or _find(table, role)
        if given is None or given not in table:
            raise ValueError(
                f"read_prior: no column {columns[role] or role!r}.{suggest(given or role, map(str, table))}"
            )
    if confidence is not None:
        level = next((column for column in table if str(column).lower() == "confidence"), None)
        if level is None:
            raise ValueError("read_prior: confidence was given, but the table has no column 'confidence'.")
        table = table[table[level].isin(list(confidence))]
    size, sign = _weights(table, columns["weight"])
    ends = {role: table[columns[role] or _find(table, role)].to_numpy() for role in ("source", "target")}
    return pd.DataFrame({**ends, "size": size, "sign": sign})


def _weights(table: pd.DataFrame, given: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (size, sign); sign 0 where unknown."""
    if given is not None and given not in table:
        raise ValueError(f"read_prior: no column weight={given!r}.{suggest(given, map(str, table))}")
    if given is None and {"is_stimulation", "is_inhibition"} <= {str(column) for column in table}:  # OmniPath
        up, down = (
            table[column].astype(str).str.lower().isin(("1", "true")) for column in ("is_stimulation", "is_inhibition")
        )
        return np.ones(len(table)), np.where(up == down, 0, np.where(up, 1, -1))
    column = given or _find(table, "weight")
    if column is None:
        return np.ones(len(table)), np.zeros(len(table))
    values = table[column]
    if pd.api.types.is_numeric_dtype(values.dtype):
        number = values.to_numpy(dtype=np.float64, na_value=np.nan)
        # without a negative weight in the table, weights are strengths and signs unknown
        sign = np.sign(number) if (number < 0).any() else np.zeros(len(number))
        return np.abs(np.nan_to_num(number)), sign
    words = values.astype(str).str.strip().str.lower()
    strange = words[~words.isin(list(_WORDS))]
    if len(strange):
        raise ValueError(
            f"read_prior: column {column!r} holds {strange.iloc[0]!r}; expected numbers, or activation, repression, "
            "unknown. Name another column by weight=."
        )
    return np.ones(len(table)), words.map(_WORDS).to_numpy(dtype=np.float64)


def from_peaks(table: pd.DataFrame) -> pd.DataFrame:
    """Return edges of a CellOracle base GRN: rows are peaks with their gene, columns regulators with a motif there."""
    regulators = [c for c in table if c not in (_PEAK_GENE, *_NOT_REGULATORS)]
    regulators = [c for c in regulators if pd.api.types.is_numeric_dtype(table[c].dtype)]
    row, column = np.nonzero(np.column_stack([table[c].to_numpy() != 0 for c in regulators]))
    source = np.array(regulators, dtype=object)[column]
    return pd.DataFrame({"source": source, "target": table[_PEAK_GENE].to_numpy()[row], "size": 1.0, "sign": 0.0})


def from_matrix(
    table: pd.DataFrame, rows: str, genes: Sequence[str] | None, regulators: Sequence[str] | None
) -> pd.DataFrame:
    """Return edges of a matrix of numbers with the names of its rows in front, or with names given."""
    if genes is None:
        row_names, values = table.iloc[:, 0].to_numpy(), table.iloc[:, 1:]
        column_names = np.array([str(column) for column in values.columns], dtype=object)
    else:
        values = table
        column_names = np.array(list(genes), dtype=object)
        row_names = column_names if regulators is None else np.array(list(regulators), dtype=object)
    if values.shape != (len(row_names), len(column_names)):
        raise ValueError(f"read_prior: a matrix of {values.shape} for {len(row_names)} x {len(column_names)} names.")
    matrix = values.to_numpy(dtype=np.float64)
    at = np.nonzero(np.nan_to_num(matrix))
    found = matrix[at]
    sign = np.sign(found) if (found < 0).any() else np.zeros(len(found))
    ends = (row_names[at[0]], column_names[at[1]])
    source, target = ends if rows == "source" else ends[::-1]
    return pd.DataFrame({"source": source, "target": target, "size": np.abs(found), "sign": sign})
