"""Predicted perturbations scored by what the field reports: cell-eval2, and calibrated errors of our own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from scdash._core.logging import logger
from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash.metrics._calibrated import FEWEST, calibrated_table
from scdash.metrics._profiles import Comparison, Floats, Labelled, Profiles, compared

OF_PROFILES = {
    "discrimination": "pds_cosine",
    "mae": "expr_mae",
    "mse": "expr_mse",
    "pearson_of_changes": "delta_pearson",
}
OF_CELLS = {
    "direction": "de_wilcoxon_direction_match",
    "overlap": "de_wilcoxon_overlap",
    "jaccard": "de_wilcoxon_sig_jaccard",
    "fold_change_error": "de_wilcoxon_lfc_nmae",
}
"""Columns of the table and the names that cell-eval2 has for them; the second need cells, not profiles alone."""


class PerturbationEvaluation(NamedTuple):
    """Scores of predicted perturbations."""

    table: pd.DataFrame  # a row per perturbation
    summary: pd.Series  # means over perturbations


@guarded
def evaluate_perturbations(
    predicted: Profiles,
    observed: Profiles,
    *,
    perturbation_key: str = "perturbation",
    control: str = "control",
    separator: str = "+",
    layer: str | None = None,
    rng: RNG = 0,
) -> PerturbationEvaluation:
    r"""Score predicted perturbations by discrimination, errors, differential genes and calibrated errors.

    The figures of discrimination, error and differential genes are those of cell-eval2 (extra `evaluate`) for log-normalised
    data, against the observed control. Cells of a prediction that has one row per perturbation are made from as many
    control cells as the perturbation has observed cells: gene by gene their values are multiplied, so that their mean is the
    predicted one and genes that a cell does not express stay at zero.

    Parameters
    ----------
    predicted
        AnnData (labels in `obs[perturbation_key]`) or DataFrame (labels as index, genes as columns): one row per
        perturbation, such as `scdash.tl.predict_perturbations` returns, or several predicted cells of each.
    observed
        The same of observed cells of all perturbations and the control, log-normalised as the prediction is (values that
        are predicted below zero count as zero for the figures of cell-eval2). Where a
        perturbation has one row (a bulk compendium), there are no scores of differential genes and nothing is calibrated.
    perturbation_key
        `obs` column of labels, for AnnData.
    control
        Label of the control in `observed`.
    separator
        Between the genes of a combined perturbation; genes that a label names take no part in its calibrated scores, and
        none that is the single target of any perturbation in `discrimination`.
    layer
        Layer of `observed`; None: `X`. Predictions are read from `X`.
    rng
        Seed or numpy Generator of the control cells and the halves.

    Returns
    -------
    PerturbationEvaluation
        `table`, one row per predicted perturbation, and `summary`, the mean of every column:

        - `discrimination`: fraction of other perturbations whose observed change is less like the predicted one (cosine); 0.5 is chance;
        - `mae`, `mse` of the profiles, `pearson_of_changes` from control;
        - `direction`: fraction of observed differential genes that the prediction moves the right way; `overlap` and `jaccard` of
          predicted and observed differential genes (Wilcoxon, false discovery rate 0.05); `fold_change_error`: normalised absolute
          error of their log fold changes, 1 where no change is predicted. `direction` and `fold_change_error` are NaN for
          perturbations with fewer than 10 observed differential genes;
        - `weighted_mse`, `weighted_r2`, `mean_mse`, `replicate_mse`, `calibrated`: see :func:`scdash.metrics.calibrated_scores`. In
          `summary`, `calibrated` is that of the summed errors, so that perturbations without an effect do not decide it.

    Raises
    ------
    ImportError
        If cell-eval2 is not installed.
    ValueError, KeyError, TypeError
        If the two share no perturbation or fewer than two genes, or observed values are negative, or any are not finite.

    See Also
    --------
    scdash.metrics.calibrated_scores : The calibrated errors alone, without the extra.
    scdash.tl.predict_perturbations : Make predictions.

    Examples
    --------
    >>> predicted = scdash.tl.predict_perturbations(adata, ["G001", "G002"])  # doctest: +SKIP
    >>> scdash.metrics.evaluate_perturbations(predicted, adata).summary  # doctest: +SKIP
    """
    evaluator = _evaluator()
    found = compared(predicted, observed, perturbation_key, control, layer)
    least = float(found.observed.values.min())
    if least < 0:
        raise ValueError(
            f"observed holds negative values (least {least:.3g}); log-normalised expression is needed. For changes or "
            "scaled data use scdash.metrics.calibrated_scores."
        )
    generator = as_generator(rng)
    counts = found.observed.counts
    cells = bool(counts[list(found.perturbations)].min() > 1 and counts[control] > 1)
    table = _field_scores(evaluator, found, separator, generator, cells=cells)
    if cells and counts.drop(control).max() >= FEWEST and len(found.others) > 1:
        table = table.join(calibrated_table(found, separator, generator))
    else:
        logger.info("observed has too few cells per perturbation: scores of differential genes or halves are left out.")
    return PerturbationEvaluation(table, _summary(table))


def _evaluator() -> Any:
    """Return cell-eval2, or raise saying which extra brings it."""
    try:
        import cell_eval2
    except ImportError as error:
        raise ImportError(
            "evaluate_perturbations needs cell-eval2: pip install 'scdash[evaluate]'. "
            "scdash.metrics.calibrated_scores needs no extra."
        ) from error
    return cell_eval2


def _field_scores(
    evaluator: Any, found: Comparison, separator: str, rng: np.random.Generator, *, cells: bool
) -> pd.DataFrame:
    """Return the scores of cell-eval2 as columns of ours."""
    names = OF_PROFILES | (OF_CELLS if cells else {})
    single: dict[str, str | None] = {}
    for label in found.perturbations:
        named = found.targets(label, separator)
        single[label] = str(found.observed.genes[named[0]]) if len(named) == 1 else None
    config = evaluator.EvalConfig.from_dict(
        {
            "metrics": list(names.values()),
            "pert_col": "perturbation",
            "control": found.control,
            "input_type": "lognorm",
            "control_source": "real",
            "device": "cpu",
            "num_threads": 1,
            "validate_input": False,
            "filter": {"filter_gene_min_cpm_cell": None},
            "de": {"backend": "scanpy"},
            "target_gene_map": single,
        }
    )
    kept = [found.control, *found.perturbations]
    real = _rows(found.observed, kept)
    with _quiet():
        scored = evaluator.compute_metrics(_as_cells(found, rng, cells=cells), real, config=config)
    scores = scored.to_dict(as_series=False)
    wide = pd.DataFrame(scores).pivot(index="perturbation", columns="metric", values="value")
    ordered = wide.reindex(index=list(found.perturbations), columns=list(names.values()))
    return ordered.set_axis(list(names), axis=1).rename_axis(columns=None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep cell-eval2 from warning of what the table shows as NaN."""
    theirs = logging.getLogger("cell_eval2")
    level = theirs.level
    theirs.setLevel(logging.ERROR)
    try:
        yield
    finally:
        theirs.setLevel(level)


def _rows(rows: Labelled, labels: list[str]) -> Any:
    """Return the rows of some labels as AnnData."""
    kept = np.flatnonzero(np.isin(rows.labels, labels))
    return _anndata(rows.values[kept], rows.labels[kept], rows.genes)


def _anndata(values: Any, labels: Any, genes: pd.Index) -> Any:
    from anndata import AnnData

    obs = pd.DataFrame(
        {"perturbation": np.asarray(labels, dtype=object)}, index=[f"row{i}" for i in range(len(labels))]
    )
    # ranks of scanpy 1.11 need a sparse matrix, not a sparse array
    values = sparse.csr_matrix(values) if sparse.issparse(values) else values
    return AnnData(values.astype(np.float32), obs=obs, var=pd.DataFrame(index=genes))


def _as_cells(found: Comparison, rng: np.random.Generator, *, cells: bool) -> Any:
    """Return predicted cells of every perturbation, and the observed control beside them."""
    control = found.observed.values[np.flatnonzero(found.observed.labels == found.control)]
    parts, labels = [control], [found.control] * control.shape[0]
    own, seen = found.predicted.counts, found.observed.counts
    for label in found.perturbations:
        if own[label] > 1 or not cells:
            part = found.predicted.values[np.flatnonzero(found.predicted.labels == label)]
            part = part * (part > 0)
        else:
            drawn = rng.choice(control.shape[0], int(seen[label]), replace=bool(seen[label] > control.shape[0]))
            part = scaled_cells(control[drawn], np.maximum(found.predicted.mean(label), 0))
        parts.append(part)
        labels += [label] * part.shape[0]
    stack = sparse.vstack if sparse.issparse(control) else np.vstack
    values = stack([part.toarray() if sparse.issparse(part) and stack is np.vstack else part for part in parts])
    return _anndata(values, labels, found.observed.genes)


def scaled_cells(cells: Any, mean: Floats) -> Any:
    """Return cells (n, genes) multiplied gene by gene to have this mean; genes that none of them expresses get it everywhere."""
    now = np.asarray(cells.mean(axis=0)).ravel()
    factor, everywhere = np.divide(mean, now, out=np.zeros_like(mean), where=now > 0), np.where(now > 0, 0.0, mean)
    if not sparse.issparse(cells):
        return cells * factor + everywhere
    added = sparse.csr_array(np.ones((cells.shape[0], 1))) @ sparse.csr_array(everywhere[None])
    return sparse.csr_array(cells @ sparse.diags_array(factor) + added)


def _summary(table: pd.DataFrame) -> pd.Series:
    found = table.mean().rename("mean")
    if "calibrated" in table:
        sums = table[["weighted_mse", "mean_mse", "replicate_mse"]].sum()
        better = sums["replicate_mse"] < sums["mean_mse"]
        gain = (
            (sums["mean_mse"] - sums["weighted_mse"]) / (sums["mean_mse"] - sums["replicate_mse"]) if better else np.nan
        )
        found["calibrated"] = gain
    return found
