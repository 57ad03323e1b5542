"""What the values of a screen are: log expression, or log fold changes from a control."""

from anndata import AnnData

from scdash._core.logging import logger
from scdash._data import Expression, as_dense, check_log, check_scaled, scaled_by_scanpy
from scdash._data.expression_matrix import LARGEST_LOG

FEW_NEGATIVE = 0.01  # fraction of negative values that no warning is given of


def check_values(adata: AnnData, values: Expression, *, changes: bool, allow_scaled: bool) -> None:
    """Raise, or warn, where values are not what they are said to be.

    `adata`: the data, whose `var` shows whether scanpy has scaled them. `values`: expression of the modelled genes.
    `changes`: whether they are said to be log fold changes from a control, which may be negative. `allow_scaled`:
    whether scaled values are accepted.
    """
    if changes:
        _check_changes(values)
        return
    check_log(values)
    if check_scaled(values, states=False, known=scaled_by_scanpy(adata), allow=allow_scaled) or allow_scaled:
        return
    fraction = _negative(values) if values.minimum < 0 else 0.0
    if fraction > FEW_NEGATIVE:
        logger.warning(
            "    WARNING: %.0f%% of %s is negative (down to %.3g), which log-normalised counts are not. If these are log fold "
            "changes from a control, say model=PerturbODE(values='log fold change'). "
            "A gene that no perturbation has knocked out is taken to "
            "its lowest value where it is predicted to be knocked out.",
            100 * fraction,
            values.name,
            values.minimum,
        )


def _check_changes(values: Expression) -> None:
    """Raise where values cannot be log fold changes, and warn where they hardly are."""
    if values.maximum > LARGEST_LOG or values.minimum < -LARGEST_LOG:
        raise ValueError(
            f"{values.name} has values from {values.minimum:g} to {values.maximum:g}, too large for log fold changes: take "
            "logarithms of the ratios first."
        )
    if values.minimum >= 0:
        logger.warning(
            "    WARNING: values='log fold change', but %s has no negative value (lowest %.3g): fold changes without a "
            "logarithm, or log expression? For log expression leave values out.",
            values.name,
            values.minimum,
        )


def _negative(values: Expression) -> float:
    """Return the fraction of negative values, read block by block."""
    count = sum(int((as_dense(block) < 0).sum()) for _, block in values.blocks())
    return count / max(values.shape[0] * values.shape[1], 1)
