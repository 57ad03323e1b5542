"""Targets of perturbations that go by another name than the genes of the data, such as symbols beside Ensembl ids."""

from collections.abc import Container, Iterable, Mapping

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.errors import suggest
from scdash._core.logging import logger
from scdash._data import read_labels
from scdash._data.screen import split_label

SYMBOL_COLUMNS = (
    "gene_symbols", "gene_symbol", "gene_names", "gene_name", "feature_name", "symbols", "symbol", "hgnc_symbol",
    "mgi_symbol", "gene_short_name", "gene", "name",
)  # fmt: skip
"""Names, in lower case, of `var` columns that usually hold symbols, the most telling first."""
LEAST_FOUND = 0.5  # fraction of the targets that a column must hold to be used without being asked for

Aliases = dict[str, tuple[str, ...]]


def gene_aliases(adata: AnnData, symbols: str | None) -> Aliases:
    """Return the genes that each entry of `adata.var[symbols]` means, by their `var_names`; none without a column."""
    if symbols is None:
        return {}
    if symbols not in adata.var:
        raise KeyError(f"symbols={symbols!r} is not a column of adata.var.{suggest(symbols, adata.var.columns)}")
    names = read_labels(pd.Series(np.asarray(adata.var[symbols])))
    found: dict[str, list[str]] = {}
    for gene, name in zip(adata.var_names.astype(str), names.astype(object), strict=True):
        if isinstance(name, str):
            found.setdefault(name, []).append(gene)
    return {name: tuple(genes) for name, genes in found.items()}


def symbol_column(adata: AnnData, targets: Iterable[str]) -> str | None:
    """Return the `var` column that names the targets of a screen where `var_names` hold none of them, or None.

    Looked at are the usual names of such columns (`SYMBOL_COLUMNS`); the one that holds the most targets is taken if
    these are at least half of them, and the log says so.
    """
    wanted = set(targets)
    if not wanted or wanted & set(adata.var_names.astype(str)):
        return None
    usual = {str(column).lower(): column for column in adata.var.columns}
    held = {
        usual[name]: len(wanted & set(adata.var[usual[name]].astype(str))) for name in SYMBOL_COLUMNS if name in usual
    }
    best = max(held, key=lambda column: held[column], default=None)
    if best is None or held[best] < max(1.0, LEAST_FOUND * len(wanted)):
        return None
    logger.info(
        "    no target of a perturbation is among var_names; they are looked up in var[%r], which holds %d of %d "
        "(symbols=%r says so)",
        best, held[best], len(wanted), best,
    )  # fmt: skip
    return str(best)


def log_shared_names(aliases: Mapping[str, tuple[str, ...]], targets: Iterable[str]) -> None:
    """Tell the log which targets are the name of several genes: all of these are then taken as perturbed."""
    shared = {name: aliases[name] for name in sorted(set(targets)) if len(aliases.get(name, ())) > 1}
    if shared:
        listed = "; ".join(f"{name}: {', '.join(genes)}" for name, genes in list(shared.items())[:5])
        logger.info("    %d target(s) are the name of several genes, all taken as perturbed: %s", len(shared), listed)


def named_targets(
    adata: AnnData, labels: pd.Series, *, controls: tuple[str, ...], separator: str, symbols: str | None
) -> tuple[str | None, Aliases, set[str]]:
    """Return the `var` column that names the targets, the genes that its entries mean, and the genes that are targets.

    `labels` are categorical; `symbols` is the column, None for `var_names` or a column that `symbol_column` finds.
    """
    own = set(adata.var_names.astype(str))

    def targets(genes: Container[str]) -> set[str]:
        texts = [str(label) for label in labels.cat.categories]
        return {g for text in texts for g in split_label(text, control=controls, separator=separator, genes=genes)}

    column = symbol_column(adata, targets(own)) if symbols is None else symbols
    aliases = gene_aliases(adata, column)
    found = targets(own | set(aliases))
    log_shared_names(aliases, found)
    return column, aliases, {gene for name in found for gene in ((name,) if name in own else aliases.get(name, ()))}
