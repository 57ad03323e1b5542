"""How well a model follows the mean trajectory of cells: R2 over the genes that change most along it."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]

TOP_GENES = 100  # genes with the largest variance along the mean trajectory
KERNEL_WIDTH = 0.05  # of the kernel means that a model is judged against, as a fraction of the ranks of the cells


@dataclass(frozen=True)
class TrajectoryR2:
    """How much of the change along a mean trajectory is predicted; 1 is all of it, 0 what its mean over time predicts."""

    top_genes: float  # over the genes that change most, together
    median_gene: float  # median over the same genes of the R2 of each alone
    genes: int  # number of these genes

    @property
    def known(self) -> bool:
        """Whether anything changes, so that there is a figure."""
        return bool(np.isfinite(self.top_genes))


def trajectory_r2(observed: Floats, predicted: Floats, top: int = TOP_GENES) -> TrajectoryR2:
    r"""Return R2 of a predicted mean trajectory.

    .. math:: R^2 = 1 - \sum_{t, g} (\hat x_{tg} - x_{tg})^2 / \sum_{t, g} (x_{tg} - \bar x_g)^2

    over all times t, the first included, and the `top` genes g whose observed mean trajectory varies most.

    Parameters
    ----------
    observed
        In units in which genes can be compared, (times, genes), or (trajectories, times, genes), which are averaged first:
        kernel means of cells, rather than bins, whose noise no model can follow.
    predicted
        The same states as a model predicts them from the first ones.
    top
        Number of genes.
    """
    if observed.shape != predicted.shape:
        raise ValueError(f"observed has the shape {observed.shape}, predicted {predicted.shape}; they must agree.")
    seen, made = (part.astype(np.float64).reshape(-1, *part.shape[-2:]).mean(axis=0) for part in (observed, predicted))
    total = ((seen - seen.mean(axis=0)) ** 2).sum(axis=0)
    chosen = np.argsort(-total, kind="stable")[:top]
    chosen = chosen[total[chosen] > 0]
    if not len(chosen):
        return TrajectoryR2(float("nan"), float("nan"), 0)
    missed = ((made - seen) ** 2).sum(axis=0)[chosen]
    each = 1 - missed / total[chosen]
    return TrajectoryR2(float(1 - missed.sum() / total[chosen].sum()), float(np.median(each)), len(chosen))
