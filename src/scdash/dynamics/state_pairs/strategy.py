"""The sparsity method of a fit, with its prior, and from which epoch on a model may be returned."""

from collections.abc import Sequence

import scipy.sparse as sp

from scdash._core.logging import logger
from scdash.dynamics.options import FitOptions, Recipe
from scdash.dynamics.problem import FitProblem
from scdash.sparsity import Prior, Sparsity, method_with


def build_sparsity(options: FitOptions, plan: Recipe) -> Sparsity:
    """Return the method, with the schedule of the recipe and the user's options."""
    asked = {"lambdas": options.lambdas, "schedule": options.schedule}
    defaults = {"schedule": plan.schedule, "scale": options.scale}
    return method_with(options.sparsity, options.sparsity_options, asked, **defaults)


def build_prior(problem: FitProblem, options: FitOptions, priors: Sequence[sp.csr_matrix | None]) -> Prior | None:
    """Return the prior as DASH uses it (absolute values), one per model where parts of it are hidden."""
    known = [abs(p) for p in priors if p is not None]
    if not known:
        if options.sparsity == "dash":
            logger.info("    no prior: DASH prunes by magnitude (its lambda counts as 0)")
        return None
    return Prior(known if len(known) > 1 else known[0], problem.coregulation, missing=options.missing)


def returnable_from(sparsity: Sparsity, options: FitOptions, plan: Recipe) -> int:
    """Return the first epoch whose model may be returned: none from before the network was made sparse.

    A start from the regression is sparse already. A schedule with a target (`until`) has to have met it; an open-ended one finds
    its own level after the first pruning.
    """
    if options.start == "regression" or sparsity.score is None or plan.config.max_epochs == 0:
        return 0
    schedule = sparsity.schedule
    epochs = plan.config.max_epochs
    first = sparsity.last_pruning_epoch(epochs) if schedule.until is not None else schedule.first_epoch
    if schedule.first > 0 and (first >= epochs or schedule.first_epoch >= epochs):
        raise ValueError(
            f"max_epochs={epochs} ends before the schedule prunes (first at epoch {schedule.first_epoch}): the model would "
            "be dense. Train longer, or pass a schedule that prunes earlier."
        )
    if schedule.until is not None and schedule.density(epochs - 1) > 1 - schedule.until + 1e-9:
        raise ValueError(
            f"max_epochs={epochs} ends at a density of {schedule.density(epochs - 1):.3f}, above the schedule's target "
            f"{1 - schedule.until:.3f}. Train longer, or pass a schedule that prunes faster."
        )
    return first
