"""A prior network into `varp`, in the order of the genes."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.errors import suggest
from scdash._core.labels import check_key
from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._data import AlignedPrior, check_adata, sanitise, writable
from scdash._data import align_prior as align


@guarded
def align_prior(
    adata: AnnData,
    prior: pd.DataFrame,
    *,
    gene_ids_key: str | None = None,
    match_case: bool = True,
    key_added: str = "prior",
    copy: bool = False,
) -> AnnData | None:
    """Put the edges of a prior network among the genes of `adata` into `varp`, and report what was left out.

    Models take a table as it is (`prior=table`); this is for seeing the overlap first, and for tables that name genes
    in another way than `var_names`.

    Parameters
    ----------
    adata
        Cells by genes.
    prior
        Columns `source`, `target` and, if known, `weight` (+1 activates, -1 represses); see
        `scdash.datasets.read_prior`.
    gene_ids_key
        Column of var that names genes as the prior does (Ensembl ids, say). Genes without a name there, or whose
        name occurs twice, have no edges.
    match_case
        False: Tp53 and TP53 are the same gene. Human and mouse orthologs often, not always, share their name.
    key_added
        Key of the result.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `adata.varp[key_added]` : CSR float32
        (genes, genes), signed, row regulates column
    `adata.uns[key_added + "_report"]` : dict
        edges given, used, dropped and why, regulators, targets

    See Also
    --------
    scdash.datasets.read_prior : Read a prior network into the one table that models take: source, target, weight.
    scdash.tl.fit_dynamics : Learn a sparse model of gene-regulatory dynamics, dx/dt = f(x), and the network inside it.

    Examples
    --------
    >>> import numpy as np, pandas as pd, anndata as ad, scdash
    >>> adata = ad.AnnData(np.ones((3, 2)), var=pd.DataFrame(index=["Myod1", "Myog"]))
    >>> table = pd.DataFrame({"source": ["MYOD1"], "target": ["MYOG"], "weight": [1.0]})
    >>> scdash.pp.align_prior(adata, table, match_case=False)
    >>> float(adata.varp["prior"][0, 1])
    1.0
    """
    check_adata(adata, min_cells=1)
    check_key(key_added)
    names, ambiguous = _names(adata, gene_ids_key, match_case=match_case)
    if not match_case and isinstance(prior, pd.DataFrame):
        upper = {
            c: prior[c].astype(str).str.upper().where(prior[c].notna()) for c in ("source", "target") if c in prior
        }
        prior = prior.assign(**upper)
    with step(f"aligning the prior to {adata.n_vars} genes") as added:
        found = align(prior, names)
        report = {**found.report, "ambiguous_genes": ambiguous, "gene_ids_key": gene_ids_key, "match_case": match_case}
        adata = writable(adata, copy=copy)
        if key_added in adata.varp:
            logger.info("    overwriting adata.varp[%r]", key_added)
        adata.varp[key_added] = found.matrix
        adata.uns[f"{key_added}_report"] = sanitise(report)
        added.append(_summary(found, key_added))
    return adata if copy else None


def _names(adata: AnnData, key: str | None, *, match_case: bool) -> tuple[pd.Index, int]:
    """Return the names to match by, unique; genes without one, or sharing one, get a name nothing matches."""
    if key is None:
        names = pd.Series(adata.var_names.astype(str))
    elif key in adata.var:
        names = pd.Series(adata.var[key].astype(object).to_numpy())
    else:
        raise KeyError(f"gene_ids_key={key!r} is not a column of adata.var.{suggest(key, adata.var.columns)}")
    names = names.where(names.isna() | match_case, names.astype(str).str.upper())
    useless = (names.isna() | names.duplicated(keep=False) | (names == "")).to_numpy()
    unmatched = np.array([f"\0{i}" for i in range(len(names))], dtype=object)
    return pd.Index(np.where(useless, unmatched, names.astype(str))), int(useless.sum())


def _summary(found: AlignedPrior, key: str) -> str:
    report: dict[str, Any] = found.report
    dropped = ", ".join(f"{number} {why}" for why, number in report["dropped"].items())
    return (
        f"adata.varp[{key!r}], {report['n_used']} of {report['n_given']} edges ({report['n_regulators']} regulators, "
        f"{report['n_targets']} targets){'; left out: ' + dropped if dropped else ''}"
    )
