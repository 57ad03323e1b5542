"""`pathways`: what kind of genes a model (or a control) finds influential."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.errors import NotFittedError, check_choice, check_data, unknown, unused
from scdash._core.fit_genes import fit_genes
from scdash._core.fit_record import stamp
from scdash._core.keys import require_result
from scdash._core.labels import check_key
from scdash._core.logging import step
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, seed_of
from scdash._core.types import ScoresLike
from scdash._data import sanitise, writable
from scdash.networks.pathways.controls import built_in_controls
from scdash.networks.pathways.gene_sets import resolve_gene_sets
from scdash.networks.pathways.permutation import Alternative
from scdash.networks.pathways.report import pathway_report
from scdash.networks.pathways.scores import Method, SetTests, table_of_tests


@guarded
def pathways(
    adata: AnnData,
    gene_sets: str | PathLike[str] | Mapping[str, Iterable[str]],
    *,
    keys: str | Sequence[str] = "dynamics",
    scores: ScoresLike | None = None,
    score: Literal["absolute", "signed"] = "absolute",
    method: Method = "sum",
    alternative: Alternative = "greater",
    controls: bool | Sequence[str] = True,
    n_top: int = 50,
    min_size: int = 10,
    max_size: int = 500,
    annotated_only: bool = True,
    n_permutations: int = 1000,
    max_permutations: int | None = None,
    key_added: str = "pathways",
    rng: RNG = 0,
    copy: bool = False,
) -> AnnData | None:
    r"""Test which gene sets gather influential genes, several fits and controls side by side.

    "sum" (Hossain, Fischer et al. 2024, B.8): the score of a set is the sum :math:`S` of the influences of its m genes.
    Under random sets drawn without replacement from N genes it has mean :math:`m\mu` and variance
    :math:`m s^2 (N - m) / (N - 1)`, which give z; p comes from permutations, the same for all sets,
    :math:`p = (1 + \#\{S^0 \geq S\}) / (K + 1)`, with more of them where p is small. z of few, skewed scores is far
    from normal: evaluate by p. Corrections run over all tested sets.

    Controls know no dynamics and are tested beside: how many targets each gene has in the prior (genes with many are
    well studied, and well-studied genes fill pathways), and how far its expression correlates with time. Where they
    find the same sets, the finding is not the model's; the report says so.

    Parameters
    ----------
    adata
        AnnData with influences from `scdash.tl.gene_influence`.
    gene_sets
        "go_bp" or "go_mf" (human, shipped, cut to the genes of `scdash.datasets.hsmm`), a GMT file (gzip or not), or
        a mapping from name to genes. Nothing is fetched from the network.
    keys
        One fit or several (strategies, seeds), each with its influences; an empty list tests `scores` alone.
    scores
        Further gene scores to test beside the fits: `var` columns, a table (genes by scores), or name -> series.
    score
        Column of the influences.
    method
        "sum", or by gseapy "over_representation" of the `n_top` best genes among all modelled ones, or "prerank".
    alternative
        Whether sets with large sums stand out, small ones, or both ("two-sided", for signed scores). "sum" only.
    controls
        Test the prior's out-degrees and the correlations with (the rank of) time too, once for fits that share them.
        Names of `keys` or `scores` that are controls as well, such as a fit with a shuffled prior
        (`scdash.simulate.shuffle_prior`), or False for none.
    n_top
        See `method`.
    min_size, max_size
        Limits on the number of a set's genes that were modelled.
    annotated_only
        Draw random sets from genes that occur in any set only.
    n_permutations, max_permutations
        Permutations for every set, and at most; None: so many that the smallest p can pass Bonferroni at 5 %.
    key_added
        Name of the result.
    rng
        Seed or numpy Generator of the permutations.
    copy
        Return a copy with the result instead of writing to `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `uns[key_added]` : dict
        `table`: a row per fit and set with `fit`, `control` (whether the fit is one), `pathway`, `size`, `score`, `z`,
        `z_spread` (standard deviation of z over the models of an ensemble), `p_value`, `n_permutations`, `bonferroni`,
        `fdr_bh`, `fwer` (joint permutations), `in_control` (significant in a control too), `leading_genes` (other
        methods: their own columns). `params`; `report`, which also goes to the log: what was found beyond chance and
        beyond the controls, and how far the models of an ensemble agree.

    Raises
    ------
    NotFittedError
        If influences are missing; the message says what to run.

    See Also
    --------
    scdash.tl.gene_influence : Measure how far a change of one gene moves the predicted trajectories of all others.
    scdash.get.pathways : Return the table of tested gene sets, by fit, smallest p first.
    scdash.pl.pathways : Draw how far gene sets stand out, z by fit and control, with stars where the corrected p is small.

    Examples
    --------
    >>> scdash.tl.pathways(adata, "go_bp")  # doctest: +SKIP
    >>> scdash.get.pathways(adata, significant=True)  # doctest: +SKIP
    """
    check_choice("method", method, get_args(Method))
    check_key(key_added)
    if method != "sum" and (alternative != "greater" or max_permutations is not None):
        raise unused("alternative or max_permutations", f"they are for method='sum', found method={method!r}")
    listed = [keys] if isinstance(keys, str) else list(keys)
    given, ensembles = _collect(adata, listed, scores, score)
    if not given:
        raise ValueError("keys and scores are empty: name a fit or a score to test.")
    extra = _controls(adata, listed, given, controls, signed=score == "signed")
    named = resolve_gene_sets(gene_sets)
    seed = seed_of(rng)
    with step(f"pathways of {', '.join(given)} ({len(named)} gene sets)") as added:
        how = SetTests(
            method=method,
            alternative=alternative,
            n_top=n_top,
            min_size=min_size,
            max_size=max_size,
            annotated_only=annotated_only,
            n_permutations=n_permutations,
            max_permutations=max_permutations,
            seed=seed,
        )
        own = {name: values for name, values in given.items() if name not in extra}
        table = table_of_tests(own, extra, named, how, ensembles)
        models = {name: adata.uns[f"{name}_influence"]["agreement"] for name in listed if name not in extra}
        report = pathway_report(table, list(own), list(extra), models)
        params = {"keys": listed, "score": score, "method": method, "alternative": alternative, "min_size": min_size,
                  "max_size": max_size, "rng": seed, "gene_sets": gene_sets if isinstance(gene_sets, str | PathLike) else "dict"}  # fmt: skip
        target = writable(adata, copy=copy)
        target.uns[key_added] = sanitise(stamp({"table": table, "params": params, "report": report}))
        added.append(f"added uns[{key_added!r}] (see scdash.get.pathways)")
        added += report.splitlines()
    return target if copy else None


def _collect(
    adata: AnnData, keys: Sequence[str], scores: ScoresLike | None, score: str
) -> tuple[dict[str, pd.Series], dict[str, pd.DataFrame]]:
    """Return the scores by name, and those of every model where a fit has several."""
    check_choice("score", score, ("absolute", "signed"))
    check_data(adata)
    given, ensembles = {}, {}
    for key in keys:
        slot = f"{key}_influence"
        if slot not in adata.varm:
            raise NotFittedError(
                f"No influences under adata.varm[{slot!r}]. Run `scdash.tl.gene_influence(adata, key={key!r})` first."
            )
        given[key] = pd.Series(np.asarray(adata.varm[slot][score]), index=adata.var_names.astype(str))
        if slot not in adata.uns:
            continue
        entry = require_result(
            adata, slot, "genes", what="influences", run=f"scdash.tl.gene_influence(adata, key={key!r})"
        )
        fit_genes(adata, entry["genes"], f"adata.uns[{slot!r}]")
        by_model = np.asarray(entry.get("by_model", np.empty((0, 1))))
        if score == "absolute" and by_model.shape[1] > 1:
            ensembles[key] = pd.DataFrame(by_model, index=np.asarray(entry["genes"]).astype(str))
    for name, values in _named_scores(adata, scores).items():
        if name in given:
            raise ValueError(f"scores: the name {name!r} is taken by a fit. Rename it.")
        given[name] = values
    return given, ensembles


def _controls(
    adata: AnnData, keys: Sequence[str], given: Mapping[str, pd.Series], controls: Any, *, signed: bool
) -> dict[str, pd.Series]:
    """Return the built-in controls, and those of the given scores that the user calls controls."""
    if controls is False:
        return {}
    named = [] if controls is True else [controls] if isinstance(controls, str) else [str(name) for name in controls]
    for name in named:
        check_choice("fit or score in controls", name, given)
    fits = [key for key in keys if key not in named]
    return {name: given[name] for name in named} | built_in_controls(adata, fits, given, signed=signed)


def _named_scores(adata: AnnData, scores: ScoresLike | None) -> dict[str, pd.Series]:
    if scores is None:
        return {}
    if isinstance(scores, str) or not isinstance(scores, Mapping | pd.DataFrame):
        listed = [scores] if isinstance(scores, str) else list(scores)
        absent = [name for name in listed if name not in adata.var]
        if absent:
            raise unknown("column of var in scores", absent[0], adata.var.columns)
        given: Iterable[tuple[Hashable, pd.Series]] = adata.var[listed].set_axis(adata.var_names).items()
    else:
        given = scores.items()
    found = {}
    for name, values in given:
        if not isinstance(values, pd.Series):
            raise TypeError(f"scores[{name!r}] must be a pandas Series indexed by gene, found {type(values).__name__}.")
        found[str(name)] = values.astype(float).set_axis(values.index.astype(str))
    return found
