"""The time axis of a stored fit in the unit of the user's column, where the two correspond one to one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.fit_settings import FitSettings
from scdash._core.keys import DynamicsKeys

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class TimeAxis:
    """Times of a fit as they are drawn: `shown(time)`, on an axis called `name`."""

    name: str
    fitted: NDArray[np.float64] | None = None  # increasing times of the fit, and the user's times they stand for
    own: NDArray[np.float64] | None = None

    def shown(self, time: Any) -> NDArray[np.float64]:
        """Return times of the fit in the unit of the axis."""
        values = np.asarray(time, dtype=np.float64)
        if self.fitted is None or self.own is None:
            return values
        return np.asarray(np.interp(values, self.fitted, self.own), dtype=np.float64)


def time_axis(adata: "AnnData", entry: Mapping[str, Any], key: str) -> TimeAxis:
    """Return the axis to draw a fit on.

    Cells are fitted on their ranks, or on time rescaled within batches. Where every rank stands for one value of the
    user's time (one lineage and batch), figures show that time; otherwise they name the ranks.
    """
    settings = FitSettings.of(entry, key)
    position = DynamicsKeys(key).position
    if not bool(settings.params.get("model_time", False)):
        return TimeAxis(settings.time_name)
    name = settings.time_key or "time"
    ranks = TimeAxis(f"rank of {name} (0 to 10)")
    if position not in adata.obs or name not in adata.obs:
        return ranks
    try:
        own = np.asarray(adata.obs[name], dtype=np.float64)
    except (TypeError, ValueError):
        return ranks
    place = np.asarray(adata.obs[position], dtype=np.float64)
    known = np.isfinite(own) & np.isfinite(place)
    fitted, first = np.unique(place[known], return_index=True)
    if len(fitted) < 2 or np.any(np.diff(own[known][first]) < 0) or not _one_to_one(place[known], own[known]):
        return ranks
    unit = settings.text("time_unit")
    return TimeAxis(name if unit is None else f"{name} ({unit})", fitted, own[known][first])


def _one_to_one(place: NDArray[np.float64], own: NDArray[np.float64]) -> bool:
    """Say whether cells at one place all have one time: cells of several batches at one rank have not."""
    order = np.lexsort((own, place))
    return bool(np.all(np.diff(own[order]) >= -1e-9 * max(float(np.ptp(own)), 1e-300)))
