"""Predicted and observed profiles of perturbations, read from AnnData or tables and brought to the same genes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import suggest
from scdash._core.logging import logger
from scdash.metrics.edge_lists import is_anndata

if TYPE_CHECKING:
    from anndata import AnnData

#: AnnData with labels in `obs`, or a table with labels as its index and genes as its columns
Profiles: TypeAlias = "AnnData | pd.DataFrame"
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """Rows with a label each: one row per perturbation, or one per cell."""

    values: Any  # (rows, genes), dense or CSR
    labels: NDArray[np.str_]  # (rows,)
    genes: pd.Index

    @property
    def counts(self) -> pd.Series:
        """Return the number of rows of every label."""
        return pd.Series(self.labels).value_counts()

    def mean(self, label: str) -> Floats:
        """Return the mean of a label's rows, (genes,)."""
        return np.asarray(self.values[np.flatnonzero(self.labels == label)].mean(axis=0), dtype=np.float64).ravel()


@dataclass(frozen=True)
class Comparison:
    """Predicted and observed profiles over the same genes, and the perturbations that are compared."""

    predicted: Labelled
    observed: Labelled
    perturbations: tuple[str, ...]  # in both, in the order of the prediction
    control: str

    @property
    def others(self) -> list[str]:
        """Return all perturbations that were observed, the control left out."""
        return [label for label in dict.fromkeys(self.observed.labels.tolist()) if label != self.control]

    def targets(self, label: str, separator: str) -> NDArray[np.int64]:
        """Return the numbers of the genes that a label names."""
        found = np.asarray(self.observed.genes.get_indexer(pd.Index(label.split(separator))), dtype=np.int64)
        return found[found >= 0]


def compared(
    predicted: Profiles, observed: Profiles, perturbation_key: str, control: str, layer: str | None
) -> Comparison:
    """Read both, cut them to the genes that were predicted, and find the perturbations that both have."""
    made, seen = (
        _read(table, argument, perturbation_key, layer if argument == "observed" else None)
        for table, argument in ((predicted, "predicted"), (observed, "observed"))
    )
    if control not in seen.labels:
        raise ValueError(f"control {control!r} is no label of observed.{suggest(control, np.unique(seen.labels))}")
    shared = made.genes[made.genes.isin(seen.genes)]
    if len(shared) < 2:
        raise ValueError(
            f"predicted and observed share {len(shared)} genes, at least 2 are needed; predicted has e.g. "
            f"{', '.join(map(repr, made.genes[:3]))}, observed {', '.join(map(repr, seen.genes[:3]))}."
        )
    if len(shared) < len(made.genes):
        logger.info("%d of %d predicted genes were not observed.", len(made.genes) - len(shared), len(made.genes))
    known = set(seen.labels.tolist()) - {control}
    asked = [label for label in dict.fromkeys(made.labels.tolist()) if label != control]
    both = tuple(label for label in asked if label in known)
    if not both:
        raise ValueError(
            f"predicted and observed share no perturbation; predicted has e.g. {', '.join(map(repr, asked[:3]))}."
            f"{suggest(asked[0], sorted(known)) if asked else ''}"
        )
    if len(both) < len(asked):
        logger.info("%d of %d predicted perturbations were not observed.", len(asked) - len(both), len(asked))
    return Comparison(_cut(made, shared), _cut(seen, shared), both, control)


def _read(table: Profiles, argument: str, key: str, layer: str | None) -> Labelled:
    if isinstance(table, pd.DataFrame):
        values, labels, genes = table.to_numpy(dtype=np.float64), table.index, table.columns
    elif is_anndata(table):
        if key not in table.obs:
            raise KeyError(f"{argument}.obs has no column {key!r}.{suggest(key, table.obs.columns)}")
        if layer is not None and layer not in table.layers:
            raise KeyError(f"{argument}.layers has no {layer!r}.{suggest(layer, table.layers)}")
        values, labels, genes = table.X if layer is None else table.layers[layer], table.obs[key], table.var_names
    else:
        raise TypeError(f"{argument} must be an AnnData or a DataFrame, found {type(table).__name__}.")
    if genes.has_duplicates:
        raise ValueError(f"{argument}: names of genes repeat ({', '.join(map(str, genes[genes.duplicated()][:3]))}).")
    kept = ~np.asarray(pd.isna(labels))
    if not kept.all():
        logger.info("%s: %d rows without a label take no part.", argument, int((~kept).sum()))
    values = sparse.csr_array(values) if sparse.issparse(values) else np.asarray(values, dtype=np.float64)
    entries = values.data if sparse.issparse(values) else values
    if not np.isfinite(entries).all():
        raise ValueError(f"{argument} holds {int((~np.isfinite(entries)).sum())} values that are not finite.")
    return Labelled(values[kept], np.asarray(labels, dtype=object)[kept].astype(str), pd.Index(genes.astype(str)))


def _cut(rows: Labelled, genes: pd.Index) -> Labelled:
    return Labelled(rows.values[:, rows.genes.get_indexer(genes)], rows.labels, genes)


def by_group(values: Any, group: NDArray[np.int64], n: int, change: Callable[[Any], Any] = lambda x: x) -> Floats:
    """Return the sums of the rows of every group, (n, genes), of the values or of what `change` makes of them."""
    member = sparse.csr_array((np.ones(len(group)), (group, np.arange(len(group)))), shape=(n, len(group)))
    found = member @ change(values)
    return np.asarray(found.toarray() if sparse.issparse(found) else found, dtype=np.float64)
