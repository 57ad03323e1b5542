"""Reading guides: a table of counts in any of the forms that users have, or a column of labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.errors import suggest
from scdash._core.logging import logger
from scdash._data import check_unique, obs_column, read_labels

SEVERAL = re.compile(r"\s*[|;,]\s*")  # between the guides of one cell in a column of labels


@dataclass(frozen=True)
class GuideTable:
    """Cells by guides: counts, or 1 where a label says that a cell has the guide."""

    counts: sp.csr_matrix
    names: tuple[str, ...]
    targets: Mapping[str, str]  # of guides, as far as the table says
    are_calls: bool = False  # whether the counts are calls already


def read_guides(
    adata: AnnData, guides: Any, guide_key: str | None, guide_names: str | Sequence[str] | None, targets: Any
) -> GuideTable:
    """Return the guides of the cells of `adata`; see `scdash.pp.assign_guides`."""
    if (guides is None) == (guide_key is None):
        raise ValueError(
            "Give either guides (counts: a name in obsm, a table, or an AnnData of cells by guides) or guide_key (a column of "
            f"obs with guides); found {'neither' if guides is None else 'both'}."
        )
    if guide_key is not None:
        table = _from_labels(obs_column(adata, guide_key, "guide_key"))
    else:
        table = _from_counts(adata, guides, guide_names)
    return GuideTable(table.counts, table.names, _targets(guides, targets), table.are_calls)


def _from_labels(column: pd.Series) -> GuideTable:
    """Return the guides that labels name, one or several a cell."""
    labels = read_labels(column)
    parts = [[one for one in SEVERAL.split(str(label)) if one] for label in labels.cat.categories]
    names = tuple(dict.fromkeys(one for part in parts for one in part))
    if not names:
        raise ValueError(f"guide_key: adata.obs[{column.name!r}] has no value for any cell.")
    place = {name: i for i, name in enumerate(names)}
    of_label = sp.lil_matrix((len(parts) + 1, len(names)), dtype=np.float64)
    for row, part in enumerate(parts):
        of_label[row, [place[one] for one in part]] = 1.0
    return GuideTable(of_label.tocsr()[labels.cat.codes.to_numpy()], names, {}, are_calls=True)


def _from_counts(adata: AnnData, guides: Any, guide_names: str | Sequence[str] | None) -> GuideTable:
    """Return counts (cells, guides) in the order of the cells."""
    where, rows, names = "guides", None, None
    if isinstance(guides, str):
        where = f"adata.obsm[{guides!r}]"
        if guides not in adata.obsm:
            raise KeyError(f"guides={guides!r} is not in adata.obsm.{suggest(guides, list(adata.obsm))}")
        guides = adata.obsm[guides]
    if hasattr(guides, "mod") and hasattr(guides, "var_names"):  # tables have a `mod`, too
        raise TypeError(
            f"guides is a MuData; pass the modality with the guides, one of {list(guides.mod)}: mdata.mod[...]."
        )
    if hasattr(guides, "var_names"):
        rows, names, matrix = guides.obs_names, [str(n) for n in guides.var_names], guides.X
    elif isinstance(guides, pd.DataFrame):
        rows, names, matrix = guides.index, [str(n) for n in guides.columns], guides.to_numpy()
    else:
        matrix = guides
    if guide_names is not None:
        names = _given_names(adata, guide_names)
    if not sp.issparse(matrix) and np.asarray(matrix).dtype.kind not in "fiub":
        raise TypeError(f"{where} must hold counts, found dtype {np.asarray(matrix).dtype}.")
    found = sp.csr_matrix(matrix).astype(np.float64)
    if rows is None and found.shape[0] != adata.n_obs:
        raise ValueError(f"{where} has {found.shape[0]} rows for {adata.n_obs} cells.")
    if names is None or len(names) != found.shape[1]:
        raise ValueError(
            f"{where} has {found.shape[1]} columns and {'no' if names is None else len(names)} names of guides; pass them, or "
            "the key of uns that holds them, as guide_names."
        )
    check_unique(pd.Index(names), "guide_names")
    if not np.isfinite(found.data).all() or (found.data < 0).any():
        raise ValueError(f"{where} must hold counts of guides; it has negative values, or values that are not finite.")
    if rows is not None:
        found = _aligned(found, rows, adata.obs_names, where)
    return GuideTable(found, tuple(names), {}, are_calls=bool(found.nnz) and float(found.max()) <= 1)


def _given_names(adata: AnnData, guide_names: str | Sequence[str]) -> list[str]:
    """Return names of guides that were given, or lie in uns; of a table its index, or its first column if rows are numbered."""
    if isinstance(guide_names, str):
        if guide_names not in adata.uns:
            raise KeyError(f"guide_names={guide_names!r} is not in adata.uns.{suggest(guide_names, list(adata.uns))}")
        guide_names = adata.uns[guide_names]
    if isinstance(guide_names, pd.DataFrame):
        numbered = list(guide_names.index.astype(str)) == [str(i) for i in range(len(guide_names))]
        guide_names = guide_names.iloc[:, 0] if numbered and guide_names.shape[1] else guide_names.index
    return [str(name) for name in guide_names]


def _aligned(counts: sp.csr_matrix, rows: pd.Index, cells: pd.Index, where: str) -> sp.csr_matrix:
    """Return the counts of `cells` by name; cells that the table lacks have none, which the log says."""
    check_unique(rows, f"{where} (its cells)")
    at = rows.astype(str).get_indexer(cells.astype(str))
    lost = int((at < 0).sum())
    if lost == len(cells):
        raise ValueError(
            f"{where} names none of the {len(cells)} cells of adata: {', '.join(map(repr, rows[:3]))} there, "
            f"{', '.join(map(repr, cells[:3]))} here."
        )
    if lost:
        logger.info("    %d of %d cells are not in %s and have no guide", lost, len(cells), where)
    known: NDArray[np.int64] = np.flatnonzero(at >= 0)
    picked = counts[at[known]].tocoo()
    return sp.csr_matrix((picked.data, (known[picked.row], picked.col)), shape=(len(cells), counts.shape[1]))


def _targets(guides: Any, targets: Any) -> dict[str, str]:
    """Return the target of each guide from a mapping, or a column of `guides.var`."""
    if targets is None:
        return {}
    if isinstance(targets, str):
        if not hasattr(guides, "var") or targets not in guides.var:
            columns = list(getattr(guides, "var", pd.DataFrame()).columns)
            raise KeyError(f"targets={targets!r} is not a column of guides.var.{suggest(targets, columns)}")
        column = read_labels(guides.var[targets]).astype(object)
        return {str(k): str(v) for k, v in zip(guides.var_names, column, strict=True) if isinstance(v, str)}
    if not isinstance(targets, Mapping | pd.Series):
        raise TypeError(f"targets must map guides to genes, found {type(targets).__name__}.")
    return {str(k): str(v) for k, v in targets.items()}
