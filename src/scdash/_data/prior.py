"""A prior network put in the order of the modelled genes, with a report of every edge that was left out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scdash._core.errors import suggest
from scdash._core.types import PriorLike
from scdash._data.checks import check_unique
from scdash._data.names import LEAST_OVERLAP, cause_of_mismatch

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class AlignedPrior:
    """Prior edges among some genes; ROW REGULATES COLUMN, as everywhere a user sees."""

    matrix: sp.csr_matrix  # (genes, genes) float32, signed
    genes: pd.Index
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def edges(self) -> pd.DataFrame:
        """Return the edges in use: source, target, weight."""
        entries = self.matrix.tocoo()
        return pd.DataFrame(
            {"source": self.genes[entries.row], "target": self.genes[entries.col], "weight": entries.data}
        )

    @property
    def signs(self) -> sp.csr_matrix:
        """Return the edges as -1 / +1, row regulates column."""
        return sp.csr_matrix((np.sign(self.matrix.data), self.matrix.indices, self.matrix.indptr), self.matrix.shape)

    def subset(self, genes: Iterable[str]) -> "AlignedPrior":
        """Return the prior among some of its genes, in their order."""
        at = self.genes.get_indexer(pd.Index(genes))
        return AlignedPrior(self.matrix[at][:, at].tocsr(), self.genes[at], self.report)


def align_prior(prior: pd.DataFrame, genes: Iterable[str]) -> AlignedPrior:
    """Return the edges of `prior` (source, target and, if known, weight: +1 activates, -1 represses) among `genes`.

    Without `weight`, or with an unknown sign, an edge is +1. Left out and counted in `report["dropped"]` are edges with a
    missing name, an unknown source or target, self edges, and edges whose weight is zero or missing. An edge given several
    times counts once, with its largest absolute weight; if its signs disagree the edge is kept as +|weight| (known to exist,
    sign unknown) and counted under `conflicting_signs`. Fewer than 10 % of the genes and of the edges in common is an error.
    """
    genes = pd.Index(genes).astype(str)
    check_unique(genes, "genes")
    table = _table(prior)
    n_given = len(table)
    at = genes.get_indexer(pd.Index(table["source"])), genes.get_indexer(pd.Index(table["target"]))
    known = (at[0] >= 0) & (at[1] >= 0)
    _check_overlap(table, genes, known)
    weight = table["weight"].to_numpy()
    reason = np.select(
        [
            table["missing"].to_numpy(),
            (at[0] < 0) & (at[1] < 0),
            at[0] < 0,
            at[1] < 0,
            at[0] == at[1],
            np.isnan(weight),
            ~np.isfinite(weight),
            weight == 0,
        ],
        [
            "missing name",
            "unknown source and target",
            "unknown source",
            "unknown target",
            "self edge",
            "missing weight",
            "infinite weight",
            "zero weight",
        ],
        default="",
    )
    used = reason == ""
    if not used.any():
        counts = pd.Series(reason).value_counts().to_dict()
        raise ValueError(f"prior: none of its {n_given} edges can be used ({counts}).")
    matrix, duplicates, conflicts = _merge(at[0][used], at[1][used], weight[used], len(genes))
    dropped = {str(key): int(count) for key, count in pd.Series(reason[~used]).value_counts().items()}
    report = _report(matrix, n_given, dropped, duplicates, conflicts)
    return AlignedPrior(matrix, genes, report)


def prior_from(adata: "AnnData", prior: "PriorLike | AlignedPrior", genes: Iterable[str] | None = None) -> AlignedPrior:
    """Return the prior among `genes` (default: all) from a DataFrame or the name of a `varp` entry.

    A bare matrix is refused: one would have to guess its orientation.
    """
    genes = adata.var_names if genes is None else pd.Index(genes)
    if isinstance(prior, pd.DataFrame):
        return align_prior(prior, genes)
    if isinstance(prior, AlignedPrior):
        return prior.subset(genes)
    if not isinstance(prior, str):
        raise TypeError(
            "prior must be a DataFrame with columns source, target[, weight], or the name of an adata.varp entry in "
            f"which row regulates column; found {type(prior).__name__}. A bare matrix does not say which axis "
            "regulates: store it with adata.varp['prior'] = scipy.sparse.csr_matrix(matrix), row regulating column."
        )
    if prior not in adata.varp:
        raise KeyError(f"prior={prior!r} is not in adata.varp.{suggest(prior, adata.varp)}")
    entries = sp.coo_matrix(adata.varp[prior])
    names = adata.var_names
    table = pd.DataFrame(
        {"source": names[entries.row], "target": names[entries.col], "weight": np.asarray(entries.data, dtype=float)}
    )
    inside = table["source"].isin(genes) & table["target"].isin(genes)
    aligned = align_prior(table[inside], genes) if inside.any() else _nothing(prior, len(table), len(genes))
    outside = int((~inside).sum())
    if outside:
        aligned.report["dropped"]["gene not modelled"] = outside
        aligned.report["n_given"] += outside
    return aligned


def _nothing(key: str, edges: int, genes: int) -> AlignedPrior:
    raise ValueError(f"adata.varp[{key!r}] has {edges} edges, none of them among the {genes} modelled genes.")


def _table(prior: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(prior, pd.DataFrame):
        raise TypeError(
            f"prior must be a DataFrame with columns source, target[, weight], found {type(prior).__name__}."
        )
    for column in ("source", "target"):
        if column not in prior:
            raise ValueError(
                f"prior has no column {column!r} (found {list(map(str, prior.columns))[:8]}). Rename its columns to "
                "source, target[, weight], or read the file with scdash.datasets.read_prior(path)."
            )
    if len(prior) == 0:
        raise ValueError("prior holds no edge.")
    missing = prior[["source", "target"]].isna().any(axis=1).to_numpy()
    weight = prior["weight"] if "weight" in prior else pd.Series(1.0, index=prior.index)
    if not pd.api.types.is_numeric_dtype(weight.dtype):
        raise TypeError(
            f"prior['weight'] must hold numbers (+1 activates, -1 represses), found dtype {weight.dtype} "
            f"(for example {weight.iloc[0]!r})."
        )
    return pd.DataFrame(
        {
            "source": prior["source"].astype(str).to_numpy(),
            "target": prior["target"].astype(str).to_numpy(),
            "weight": weight.to_numpy(dtype=np.float64, na_value=np.nan),
            "missing": missing,
        }
    )


def _merge(row: Any, column: Any, weight: Any, n: int) -> tuple[sp.csr_matrix, int, int]:
    """One entry per edge: largest |weight|, sign + where signs disagree. Also returns duplicates and conflicts."""
    table = pd.DataFrame({"row": row, "column": column, "size": np.abs(weight), "sign": np.sign(weight)})
    merged = table.groupby(["row", "column"]).agg(
        size=("size", "max"), low=("sign", "min"), high=("sign", "max"), times=("size", "size")
    )
    conflict = (merged["low"] != merged["high"]).to_numpy()
    value = merged["size"].to_numpy() * np.where(conflict, 1.0, merged["high"].to_numpy())
    index = merged.index.to_frame().to_numpy()
    matrix = sp.csr_matrix((value.astype(np.float32), (index[:, 0], index[:, 1])), shape=(n, n))
    matrix.sort_indices()
    return matrix, int((merged["times"] - 1).sum()), int(conflict.sum())


def _report(
    matrix: sp.csr_matrix, n_given: int, dropped: dict[str, int], duplicates: int, conflicts: int
) -> dict[str, Any]:
    out_degree, in_degree = np.diff(matrix.indptr), np.bincount(matrix.indices, minlength=matrix.shape[0])
    return {
        "n_given": n_given,
        "n_used": int(matrix.nnz),
        "dropped": dropped,
        "duplicates_merged": duplicates,
        "conflicting_signs": conflicts,
        "signed": bool((matrix.data < 0).any()),
        "n_genes": int(matrix.shape[0]),
        "n_regulators": int((out_degree > 0).sum()),
        "n_targets": int((in_degree > 0).sum()),
        "density": float(matrix.nnz / max(1, matrix.shape[0] * (matrix.shape[0] - 1))),
    }


def _check_overlap(table: pd.DataFrame, genes: pd.Index, known: Any) -> None:
    """Refuse a prior that hardly meets the genes, and say why it may be so."""
    named = pd.Index(pd.unique(pd.concat([table["source"], table["target"]])))
    shared = genes.isin(named).sum()
    # A short curated table may touch few genes and still be used whole; a large one may use few edges on a small panel.
    if max(shared / len(genes), known.mean()) >= LEAST_OVERLAP:
        return
    raise ValueError(
        f"prior shares {shared} of {len(genes)} gene names, and {int(known.sum())} of its {len(table)} edges could be "
        f"used: less than 10 %.{cause_of_mismatch(named, genes)} Genes here: {_examples(genes)}; in the prior: {_examples(named)}."
    )


def _examples(names: pd.Index) -> str:
    return ", ".join(repr(str(name)) for name in names[:3])
