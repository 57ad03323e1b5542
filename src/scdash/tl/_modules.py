"""Modules of a fit: who drives them, whom they drive, and which gene sets they are enriched in."""

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from scdash._core.errors import unused
from scdash._core.fit_record import stamp
from scdash._core.keys import genes_of, require_fit
from scdash._core.logging import step
from scdash._core.process_state import guarded
from scdash._data import as_dense, sanitise, writable
from scdash.networks.pathways.enrichment import over_representation
from scdash.networks.pathways.gene_sets import Membership, membership, resolve_gene_sets

COLUMNS = ("module", "role", "term", "overlap", "size", "p", "genes", "fdr")


@guarded
def modules(
    adata: AnnData,
    *,
    gene_sets: str | PathLike[str] | Mapping[str, Iterable[str]] | None = None,
    min_size: int = 1,
    max_size: int | None = None,
    n_sd: float = 2.0,
    n_modules: int = 20,
    key: str = "dynamics",
    copy: bool = False,
) -> AnnData | None:
    """Name the regulators and targets of every module, and test them for gene sets.

    Modules are the hidden units of the model (regulators: ``|B|`` above `n_sd` SDs of all of B; targets: ``|A|`` likewise;
    Lin et al., appendix A.14). A gene-wise model has none: its network is then factorised, `A B` of rank `n_modules`
    by truncated singular values, which keeps what regulators share.

    Parameters
    ----------
    adata
        AnnData with a fit of PerturbODE.
    gene_sets
        Name -> genes, a GMT file, or "go_bp", "go_mf" (see `scdash.tl.pathways`). Hypergeometric test (gseapy) against
        the modelled genes; Benjamini-Hochberg over ALL sets, modules and roles tested, also those without a hit.
    min_size, max_size
        Limits on the number of modelled genes of a set.
    n_sd
        Threshold in standard deviations.
    n_modules
        Rank for gene-wise models.
    key
        The `key_added` of the fit.
    copy
        Return a copy instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written: `uns[f"{key}_modules"]`, `members` (DataFrame `module`, `gene`, `role` "regulator" or "target",
        `weight`) and `enrichment` (DataFrame `module`, `role`, `term`, `overlap`, `size`, `p`, `genes`, `fdr`; empty without
        `gene_sets`).

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    ValueError
        If the fit has no modules to name, or the gene sets hold none of the modelled genes.

    See Also
    --------
    scdash.tl.fit_perturbode : Learn a regulatory network from a perturbation screen with the steady states or the ODE of PerturbODE.
    scdash.pl.modules : Draw the weights of modules (rows) on their genes (columns), both clustered.

    Examples
    --------
    >>> scdash.tl.modules(adata, gene_sets={"cycle": ["CDK1", "CCNB1"]})  # doctest: +SKIP
    """
    if n_sd <= 0 or n_modules < 1:
        raise ValueError(f"n_sd and n_modules must be positive, found {n_sd!r} and {n_modules!r}.")
    entry: Any = require_fit(adata, key)
    genes = np.asarray([str(g) for g in entry["genes"]])
    if gene_sets is None and (min_size != 1 or max_size is not None):
        raise unused("min_size and max_size", "they are sizes of gene_sets, of which there are none")
    if "B" in entry["weights"] and n_modules != 20:
        raise unused("n_modules", "the fit has modules of its own")
    with step(f"modules of uns[{key!r}]") as added:
        encode, decode = _factors(entry, n_modules)
        members = genes_of(adata, entry, key).rows(module_members(encode, decode, genes, n_sd), "gene")
        tests = pd.DataFrame(columns=list(COLUMNS))
        if gene_sets is not None:
            sets = membership(
                resolve_gene_sets(gene_sets),
                genes,
                min_size=min_size,
                max_size=max_size or len(genes),
                annotated_only=False,
            )
            tests = enrichment(members, sets)
        adata = writable(adata, copy=copy)
        adata.uns[f"{key}_modules"] = sanitise(stamp({"members": members, "enrichment": tests}))
        added.append(f"added uns[{f'{key}_modules'!r}] (see scdash.pl.modules): {_in_words(members)}")
        if gene_sets is not None:
            found = int((tests["fdr"] < 0.05).sum())
            added.append(f"{found} of {len(tests)} tests of gene sets have a false discovery rate below 5 %")
    return adata if copy else None


def _in_words(members: pd.DataFrame) -> str:
    """Return how many modules, regulators and targets were found."""
    genes = {role: members.loc[members["role"] == role, "gene"].nunique() for role in ("regulator", "target")}
    return f"{members['module'].nunique()} modules of {genes['regulator']} regulators and {genes['target']} targets"


def _factors(entry: Any, n_modules: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return B (modules, genes) and A (genes, modules)."""
    weights = {k: as_dense(w) for k, w in entry["weights"].items()}
    if "A" not in weights:
        raise ValueError(f"modules are for PerturbODE; this fit is {entry['params']['model']!r}.")
    if "B" in weights:
        return weights["B"], weights["A"]
    u, s, vt = np.linalg.svd(weights["A"], full_matrices=False)
    rank = min(n_modules, int((s > 1e-8 * max(s[0], 1e-300)).sum()))
    # singular vectors have no sign of their own: a module is what its strongest regulator switches on
    strongest = vt[np.arange(rank), np.abs(vt[:rank]).argmax(axis=1)]
    root, sign = np.sqrt(s[:rank]), np.where(strongest < 0, -1.0, 1.0)
    return (root * sign)[:, None] * vt[:rank], u[:, :rank] * (root * sign)


def module_members(encode: NDArray[Any], decode: NDArray[Any], genes: NDArray[Any], n_sd: float) -> pd.DataFrame:
    """Return the genes of each module by role; `encode` B (modules, genes), `decode` A (genes, modules)."""
    parts = []
    for role, matrix, axes in (("regulator", encode, ("module", "gene")), ("target", decode, ("gene", "module"))):
        places = np.nonzero(np.abs(matrix) > n_sd * matrix.std())
        table = pd.DataFrame(dict(zip(axes, places, strict=True))).assign(role=role, weight=matrix[places])
        parts.append(table.sort_values(["module", "gene"], ignore_index=True))
    members = pd.concat(parts, ignore_index=True)[["module", "gene", "role", "weight"]]
    return members.assign(gene=genes[members["gene"]])


def enrichment(members: pd.DataFrame, sets: Membership) -> pd.DataFrame:
    """Return hypergeometric tests (gseapy) of every (module, role) against every set, corrected over ALL of them.

    gseapy drops sets without a hit; they come back here with p 1, so that the correction counts them.
    """
    parts = [
        _tests(group["gene"], sets).assign(module=int(group["module"].iloc[0]), role=str(group["role"].iloc[0]))
        for _, group in members.groupby(["module", "role"])
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS[:-1])
    table["fdr"] = false_discovery_control(table["p"].to_numpy(dtype=float))
    return table[list(COLUMNS)].sort_values("p", kind="stable", ignore_index=True)


def _tests(genes: pd.Series, sets: Membership) -> pd.DataFrame:
    chosen = set(genes) & set(sets.genes)
    if not chosen or len(chosen) == len(sets.genes):  # nothing to test: no set can stand out
        overlap = [len(chosen & set(sets.genes[sets.members(row)])) for row in range(len(sets.names))]
        return pd.DataFrame({"term": sets.names, "overlap": overlap, "size": sets.sizes, "p": 1.0, "genes": ""})
    found = over_representation(sorted(chosen), sets)
    names = {"pathway": "term", "p_value": "p", "leading_genes": "genes"}
    return found.rename(columns=names)[["term", "overlap", "size", "p", "genes"]]
