"""Which genes may regulate: only they have features, and time and memory grow with their number."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._data.screen import Screen

ALL_SOURCES = 1500  # genes up to which all may regulate without being asked


def sources_of(screen: Screen, regulators: NDArray[np.int64] | None, rule: str) -> NDArray[np.int64]:
    """Return the positions of the genes whose features a regression needs; `rule` as in `scdash.models.PerturbODE`.

    Regulators that are named are the only ones, but the own perturbations of all others are evidence beside them.
    """
    d = len(screen.genes)
    perturbed = screen.targets.any(axis=0)
    if regulators is not None:
        return np.flatnonzero(perturbed | np.isin(np.arange(d), regulators))
    if rule == "all" or (rule == "auto" and d <= ALL_SOURCES):
        return np.arange(d)
    if rule == "auto":
        logger.info(
            "    only the %d perturbed genes may regulate, because %d genes are more than %d; name others in regulators, "
            "or take all by PerturbODE(sources='all')",
            perturbed.sum(),
            d,
            ALL_SOURCES,
        )
    return np.flatnonzero(perturbed)


def stored_rule(params: Mapping[str, Any]) -> Literal["auto", "perturbed", "all"]:
    """Return the rule of a stored fit."""
    rule = str(params.get("sources", "auto"))
    return "perturbed" if rule == "perturbed" else "all" if rule == "all" else "auto"
