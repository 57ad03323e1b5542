"""At which level an intervention holds each gene, and whether the model gives that gene any target."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from scdash._core.display import first_names
from scdash._core.logging import logger
from scdash._data import all_genes, knockout_levels
from scdash.networks.dynamics_model import DynamicsModel

NAMED, AND_MORE = 5, " and {} more"  # genes that a message lists by name
Kind = Literal["knockout", "knockdown", "overexpression"]


def held_levels(
    model: DynamicsModel, entry: Any, genes: Any, kind: str, level: float | None, start: torch.Tensor
) -> dict[int, torch.Tensor]:
    """Return gene number -> level per start, in the units of the data.

    Levels are measured from the level of a knocked-out gene (`knockout_levels`), which is 0 where values are not
    negative: a knockdown to one half is half of the way from there to the start value.
    """
    wanted, given = _wanted(genes, kind, level)
    places = all_genes([str(gene) for gene in wanted], model.genes, "genes")
    lowest = knockout_levels(entry)
    highest = np.asarray(entry["series"]["states"]).max(0)
    held = {}
    for gene, i in zip(wanted, places.tolist(), strict=True):
        if gene in given:
            held[i] = torch.full_like(start[:, i], float(given[gene]))
        elif kind == "knockout":
            held[i] = torch.full_like(start[:, i], lowest[i])
        elif kind == "knockdown":
            held[i] = lowest[i] + (start[:, i] - lowest[i]) * (0.5 if level is None else level)
        else:
            reach = (float(highest[i]) - lowest[i]) * (1.0 if level is None else level)
            held[i] = torch.full_like(start[:, i], lowest[i] + reach)
    return held


def _wanted(genes: Any, kind: str, level: float | None) -> tuple[list[Any], dict[Any, float]]:
    """Return the genes to hold, and the levels that were given for them one by one."""
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {list(get_args(Kind))}, found {kind!r}.")
    given = dict(genes) if isinstance(genes, Mapping) else {}
    wanted = list(given) or ([genes] if isinstance(genes, str) else list(genes))
    if not wanted:
        raise ValueError("genes: name at least one gene to perturb.")
    if level is not None and (given or kind == "knockout" or not np.isfinite(level) or level < 0):
        raise ValueError(
            f"level={level!r} must be a number of at least 0, and is for knockdown and overexpression only."
        )
    return wanted, given


def count_targets(entry: Any) -> NDArray[np.int64]:
    """Return how many other genes each modelled gene regulates in the fitted network, (genes,)."""
    names = np.asarray(entry["genes"]).astype(str)
    edges = entry["edges"]
    used = np.asarray(edges["weight"]) != 0
    source, target = (edges[name].astype(str).to_numpy()[used] for name in ("source", "target"))
    counts = pd.Series(source[source != target]).value_counts()
    return np.asarray(counts.reindex(names, fill_value=0), dtype=np.int64)


def warn_of_interventions(entry: Any, held: Iterable[int]) -> None:
    """Warn of held genes (numbers of modelled genes) without a target in the network."""
    chosen = np.asarray(list(held), dtype=np.int64)
    warn_without_targets(np.asarray(entry["genes"]).astype(str), count_targets(entry), among=chosen)


def named_levels(
    model: DynamicsModel, entry: Any, genes: Any, kind: str, level: float | None, start: torch.Tensor
) -> dict[int, torch.Tensor]:
    """Return `held_levels`; raise where the data have negative values and the user could have named the level of a knockout.

    Functions that knock out one gene after the other hold it at the lowest value seen instead, and warn.
    """
    held = held_levels(model, entry, genes, kind, level, start)
    if kind == "knockout" and not isinstance(genes, Mapping):
        _refuse_negative_levels(entry, held)
    return held


def _refuse_negative_levels(entry: Any, knocked: Iterable[int]) -> None:
    levels, chosen = knockout_levels(entry), np.asarray(list(knocked), dtype=np.int64)
    below = chosen[levels[chosen] < 0]
    if len(below):
        names = np.asarray(entry["genes"]).astype(str)
        listed = ", ".join(f"{str(names[i])!r}: {levels[i]:.3g}" for i in below[:NAMED])
        raise ValueError(
            "genes: the data of this fit have negative values, as scaled data do, so that 0 does not mean that a gene is not "
            f"expressed. Name the level at which each gene is held; the lowest values seen are genes={{{listed}}}. Or fit "
            "log-normalised values that are not scaled."
        )


def warn_of_negative_levels(entry: Any, knocked: NDArray[np.int64]) -> None:
    """Warn that knocked-out genes (numbers of modelled genes) are held at a negative level instead of at 0."""
    levels = knockout_levels(entry)
    below = knocked[levels[knocked] < 0]
    if not len(below):
        return
    names = np.asarray(entry["genes"]).astype(str)
    logger.warning(
        "The data of this fit have negative values, as scaled data do, so that 0 does not mean that a gene is not "
        "expressed. Each knocked-out gene is held at the lowest value seen in the data instead of at 0: %s. Fit "
        "log-normalised values that are not scaled to hold knocked-out genes at 0.",
        first_names([f"{names[i]} at {levels[i]:.3g}" for i in below], NAMED, AND_MORE),
    )


def warn_without_targets(names: NDArray[Any], n_targets: NDArray[np.int64], *, among: NDArray[np.int64]) -> None:
    """Warn that some genes (`among`, numbers of modelled genes) have no target, so that they change nothing else."""
    idle = among[n_targets[among] == 0]
    if len(idle):
        logger.warning(
            "%d of %d genes have no target in the fitted network (n_targets is 0): %s. The model says nothing about what "
            "these genes do: a predicted change of 0 for other genes means that no edge was fitted, not that the gene "
            "has no effect.",
            len(idle),
            len(among),
            first_names([str(name) for name in names[idle]], NAMED, AND_MORE),
        )
