"""Prior networks from files of many layouts to one: source, target, weight."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from scdash._core.errors import check_choice
from scdash._core.logging import logger
from scdash._core.process_state import guarded
from scdash.datasets._layouts import Layout, detect, from_long, from_matrix, from_peaks, read_table


@guarded
def read_prior(
    path: "str | Path | pd.DataFrame",
    *,
    layout: Literal["auto", "long", "matrix", "peaks"] = "auto",
    source: str | None = None,
    target: str | None = None,
    weight: str | None = None,
    confidence: Sequence[str] | None = None,
    rows: Literal["source", "target"] = "source",
    genes: Sequence[str] | None = None,
    regulators: Sequence[str] | None = None,
    threshold: float = 0.0,
) -> pd.DataFrame:
    """Read a prior network into the one table that models take: source, target, weight.

    Recognised: TRRUST (with or without a header), CollecTRI and DoRothEA (decoupler's and OmniPath's columns), PANDA
    and OTTER (edge lists without header; matrices of regulators by targets), CellOracle base GRNs (peaks by regulators
    with a column `gene_short_name`), and any table whose columns are named by `source`, `target`, `weight`.

    Parameters
    ----------
    path
        csv, tsv, txt (any of them .gz) or parquet; or a DataFrame.
    layout
        "long": an edge a row; "matrix": numbers, rows and columns named; "peaks": CellOracle; "auto" finds out.
    source, target, weight
        Columns of a long table, where they are not recognised. `weight` may hold numbers or words
        (activation, repression, unknown).
    confidence
        Levels to keep of a column `confidence` (DoRothEA: "A", "B", "C", ...).
    rows
        What the rows of a matrix are: "source" (row regulates column) or "target".
    genes, regulators
        Names for a matrix without names: of its columns and its rows (`regulators` None: the rows are `genes` too).
    threshold
        Keep edges of larger absolute weight only: for dense matrices of scores.

    Returns
    -------
    DataFrame
        `source`, `target` (str) and `weight` (float; its sign is the sign of regulation, edges of unknown sign
        are positive). One row per edge: of several the largest absolute weight counts, a known sign over an unknown one,
        and contradicting signs count as unknown.

    See Also
    --------
    scdash.pp.align_prior : Put the edges of a prior network among the genes of `adata` into `varp`, and report what was left out.
    scdash.datasets.myogenic_prior : 119 published regulations among the genes of `hsmm`, collected by hand: myogenesis, cell cycle, matrix, sterols.

    Examples
    --------
    >>> import pandas as pd, scdash
    >>> table = pd.DataFrame({"tf": ["MYOD1"], "target": ["MYOG"], "mode": ["Activation"]})
    >>> scdash.datasets.read_prior(table).values.tolist()
    [['MYOD1', 'MYOG', 1.0]]
    """
    check_choice("layout", layout, ("auto", "long", "matrix", "peaks"))
    check_choice("rows", rows, ("source", "target"))
    table, name = read_table(path, unnamed=genes is not None)
    columns = {"source": source, "target": target, "weight": weight}
    found: Layout = detect(table, columns, unnamed=genes is not None) if layout == "auto" else layout
    if found == "long":
        edges = from_long(table, columns, confidence)
    elif found == "peaks":
        edges = from_peaks(table)
    else:
        edges = from_matrix(table, rows, genes, regulators)
    prior = merge_edges(edges, threshold)
    logger.info(
        "read %d edges (%d regulators, %d targets) from %s (%s)",
        len(prior), prior["source"].nunique(), prior["target"].nunique(), name, found,
    )  # fmt: skip
    return prior


def merge_edges(edges: pd.DataFrame, threshold: float = 0.0) -> pd.DataFrame:
    """Return one row per edge, from columns source, target, size (>= 0) and sign (-1, +1, 0 unknown)."""
    edges = edges[edges["source"].notna() & edges["target"].notna() & (edges["size"] > threshold)]
    edges = edges[(edges["source"] != "") & (edges["target"] != "")]
    if not len(edges):
        raise ValueError("The file holds no edge (with a name on both sides and a weight above the threshold).")
    grouped = edges.groupby(["source", "target"], sort=False, observed=True)
    merged = grouped.agg(size=("size", "max"), low=("sign", "min"), high=("sign", "max")).reset_index()
    negative = (merged["low"] < 0) & (merged["high"] <= 0)
    weight = merged["size"].to_numpy(dtype=np.float64) * np.where(negative, -1.0, 1.0)
    return pd.DataFrame({"source": _text(merged["source"]), "target": _text(merged["target"]), "weight": weight})


def _text(column: pd.Series) -> Any:
    return column.astype(str).astype(object).to_numpy()
