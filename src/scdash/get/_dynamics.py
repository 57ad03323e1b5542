"""Tables of a fit of dynamics."""

from collections.abc import Iterable
from html import escape
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from scdash._core.errors import NotFittedError
from scdash._core.keys import require_fit, require_paired, stored_key
from scdash._core.logging import settings
from scdash._core.process_state import guarded
from scdash._core.tables import ranked_edges
from scdash.get._candidates import all_pairs
from scdash.get._filters import chosen_edges

FOUR_DIGITS = "{:.4g}".format


class FitReport(pd.DataFrame):  # type: ignore[misc]
    """A table of errors whose `attrs["summary"]` is the report; what is derived from it is an ordinary table."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        summary = str(self.attrs.get("summary", ""))
        if self.empty and summary:
            return summary
        return (
            f"{summary}\n\n{pd.DataFrame(self).to_string(index=False, float_format=FOUR_DIGITS, na_rep='')}"
            if summary
            else super().__repr__()
        )

    def _repr_html_(self) -> str:
        first, _, rest = str(self.attrs.get("summary", "")).partition("\n")
        own = pd.DataFrame(self)
        table = "" if own.empty else own.to_html(border=0, index=False, float_format=FOUR_DIGITS, na_rep="")
        return f"<div><p><strong>{escape(first)}</strong></p>{table}<pre>{escape(rest)}</pre></div>"


DETAILS = 3  # verbosity from which on the report in words has its details


@guarded
def grn(
    adata: AnnData,
    *,
    key: str = "dynamics",
    only_network: bool = False,
    candidates: bool = False,
    source: str | Iterable[str] | None = None,
    target: str | Iterable[str] | None = None,
    top: int | None = None,
    min_weight: float | None = None,
) -> pd.DataFrame:
    """Return the network as a table of edges, strongest evidence first.

    Edges are those of the fitted network and those of the prior, between genes that `adata` still has (the log says
    how many genes of the fit are gone), so that the table and `varp` agree.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    key
        The `key_added` of that fit.
    only_network
        Leave out edges of the prior that the fitted network does not use (weight 0).
    candidates
        Also list all other pairs of a regulator and a gene, with weight 0: those that half-samples selected, and after them
        by `coregulation` or `association`. For time courses and cells; regulators are those of the prior where
        co-regulation ranks pairs, and otherwise those that the fit allowed.
    source, target
        Genes: only edges out of, or into, these.
    top
        Only so many edges, the strongest; counted after the other conditions.
    min_weight
        Smallest absolute weight of an edge, in the units of `weight`.

    Returns
    -------
    DataFrame
        One row an edge, by `rank`:

        - `source`, `target`: names of the genes.
        - `weight`: signed effect of the fitted network; 0 where only the prior has the edge, and for pairs of genes that
          a screen ranks without an edge between them.
        - `contribution`: fraction of the target's summed absolute effects.
        - `in_prior`: whether the prior has the edge.
        - `selection_frequency`: fraction of half-samples that select the edge, NaN where none were drawn. Of cells the
          weighted mean of two path scores: of a regression of later cells on other, earlier ones, which counts as much as that
          regression explains of unseen cells, and of cells of one time on each other, see :doc:`/concepts/evidence`.
        - `stability`: the contribution, averaged over half-samples; of cells the same as `selection_frequency`.
        - `coregulation`: how far the target follows the other targets that the prior names for the source, as a rank among
          all such pairs in [0, 1]; 0 where the prior does not have the source, NaN without a prior.
        - `score`: the ranking score, prior and data together. It is not a probability. Without a prior
          a weighted mean of `stability` and `association`: the regression selects one of several genes with the same trajectory.
        - `association`: what the data say without any model. Of time courses a mean of absolute correlations: of the
          source with the next level of the target, given the target's own level, and of both levels, weighed by how far levels
          predict their own next ones. Of cells the absolute correlation over all cells. Of a screen the correlation of their changes over its perturbations.
        - `ranked_by`: what the score rests on. "data": there is no prior. "prior and data": edges of the prior come first,
          ordered by the data: by the fit, or, where it does not find hidden edges of the prior again and co-regulation does,
          by `coregulation` (the report says which). "prior": edges of the prior that were hidden from a fit were not found again, so that the
          score says only which edges the prior has; look at edges with and without `in_prior` apart, each of which the data
          order.
        - `rank`: edges of equal score are ordered by the other columns of data; edges that nothing tells apart share a
          rank, in random order, and the log counts them.

        Of screens also `source_perturbed`, `interventional_effect` (change of the target in log units where its source was
        perturbed), `interventional_z` (its ratio to its standard error), `direct_z` (the same of what the other regulators of
        the network leave unexplained; all three NaN where the source was never perturbed), `sign` of the score, `sensitivity` (direct effect on the target's steady state) and `total_effect`
        (simulated change of the target when the source alone is perturbed).

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    ValueError
        If `candidates` is asked for with `only_network` or of a screen, or would list more than five million pairs.

    See Also
    --------
    scdash.get.network : Return the fitted network in the form that another tool reads.
    scdash.get.regulons : Return the targets of every regulator, those that it activates and those that it represses apart.
    scdash.get.subnetwork : Return the part of the fitted network below (or above) some genes, e.g. a transcription factor and its targets.
    scdash.pl.network : Draw the strongest edges of the network.

    Examples
    --------
    >>> edges = scdash.get.grn(adata, only_network=True, top=10)
    >>> edges[["source", "target", "weight"]].shape
    (10, 3)
    """
    if only_network and candidates:
        raise ValueError("only_network=True leaves candidates out: pass one of the two.")
    if candidates:
        edges = all_pairs(adata, key, source, target)
    else:
        edges = ranked_edges(adata, key, only_network=only_network)
    return chosen_edges(adata, edges, key, source=source, target=target, top=top, min_weight=min_weight)


@guarded
def history(adata: AnnData | MuData, *, key: str | None = None) -> pd.DataFrame:
    """Return the history of training: one row per epoch and model.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to, or a MuData that `scdash.tl.sbnn`, `scdash.tl.srrr` or
        `scdash.tl.cross_validate_sbnn` has written to.
    key
        The `key_added` of that fit; None: "dynamics" for AnnData, for MuData "sbnn" or the only fit there is.

    Returns
    -------
    DataFrame
        Of paired modalities `model` (the fold), `epoch`, `stage`, `train_loss`, `validation_loss` (of pre-training), `train_r2`
        and `test_r2`, see :func:`scdash.pl.training`. Otherwise a table with `epoch`, `model`, `train_loss`, `validation_loss` (mean squared errors in units of the genes' ranges),
        `sparsity`, `learning_rate` and `pruned`; empty if the fit needed no training (regression alone).

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.

    See Also
    --------
    scdash.pl.history : Draw the loss of every epoch (on a logarithmic axis from a factor of five on), the sparsity below it, and the prunings as marks.

    Examples
    --------
    >>> scdash.get.history(adata).empty  # this fit needed no training
    True
    """
    key = stored_key(adata, key, needed="history")
    entry = require_paired(adata, key, "sbnn") if hasattr(adata, "mod") else require_fit(adata, key)
    if "history" not in entry:
        raise NotFittedError(f"uns[{key!r}] holds no history of a training; name the key_added of a fit.")
    table: pd.DataFrame = entry["history"].reset_index(drop=True)
    if "pruned" in table:
        table["pruned"] = table["pruned"].astype(bool)
    return table


@guarded
def report(adata: AnnData, *, key: str = "dynamics", verbosity: int | None = None) -> FitReport:
    """Return errors of the fitted model beside its null models and baselines.

    Printed, or as the last line of a notebook cell, it shows the report in words, the verdict first.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` has written to.
    key
        The `key_added` of that fit.
    verbosity
        3 adds details to the report in words; None: `scdash.settings.verbosity`.

    Returns
    -------
    DataFrame
        Table with one row per predictor, the fitted model first. Of cells that are trained on whole trajectories: the
        regression it starts from, null models and baselines, with the mean squared error of whole left-out trajectories (or of
        the other half of the cells) over that of a constant, `error`, its `standard_error` over folds, the paired `difference`
        to the model with `difference_error`, one column for each fold, and `test` where there are test states. Of other fits:
        mean squared errors `validation_mse`, `test_mse` (next step) and `rollout_mse` (whole held-out trajectories from their
        start), for cells also `five_bins_mse` (five bins later), in units of the genes' ranges.
        `table.attrs["summary"]` holds the report in words; `table.attrs["verdict"]`, where there were null models, a dict:
        `network`, `regulators`, `prior` and `time` ("better", "not distinguished", "not tested", or "not used" of a prior: held-out
        states are predicted better than without a network, with random regulators, with shuffled priors, with shuffled time;
        see :doc:`/concepts/evidence`), `baselines` (the same for the best baseline without a model), `supports_network`
        (whether whole trajectories were left out and the first two are "better"), `text`, `best_null` and `best_baseline`
        (their names) and `figures`.
        `uns[key]["directions"]` says how far the velocity follows the observed change in each fifth of the trajectory of
        cells, `uns[key]["lineages"]` how well the mean trajectory of each lineage is followed.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    TypeError
        For a MuData.

    See Also
    --------
    scdash.get.report_html : Write a fit as one HTML file: verdict, errors, trajectories, network, knockouts, settings and versions.
    scdash.get.history : Return the history of training: one row per epoch and model.

    Examples
    --------
    >>> report = scdash.get.report(adata)
    >>> report["predictor"].iloc[0]
    'phoenix'
    """
    if hasattr(adata, "mod"):
        raise TypeError(
            "adata is a MuData; scdash.get.report is for fits of scdash.tl.fit_dynamics. How well a network of paired "
            "modalities predicts new cells is what scdash.tl.cross_validate_sbnn(mdata, ...) says."
        )
    entry = require_fit(adata, key)
    table = FitReport(entry["errors"].reset_index(drop=True))
    level = settings.verbosity if verbosity is None else verbosity
    parts = [entry["report"], entry.get("details", "") if level >= DETAILS else ""]
    table.attrs["summary"] = "\n".join(str(part) for part in parts if str(part))
    verdict: dict[str, Any] = {**(entry.get("verdict") or {})}
    if verdict:
        verdict["supports_network"] = bool(verdict["supports_network"])
        verdict["figures"] = {name: float(value) for name, value in verdict["figures"].items()}
    table.attrs["verdict"] = verdict
    return table
