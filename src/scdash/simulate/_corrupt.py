"""Priors that are wrong by a known amount."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._random import RNG, as_generator


def corrupt_prior(
    truth: pd.DataFrame, moved: float, *, genes: Sequence[str] | pd.Index | None = None, rng: RNG = 0
) -> pd.DataFrame:
    """Move a share of the edges of a network to random places.

    Parameters
    ----------
    truth
        Edges: `source`, `target`, `weight`.
    moved
        Share of edges moved, 0 to 1 (rounded to whole edges). A moved edge keeps its sign; it lands on a pair of
        different genes that is neither a true edge nor taken.
    genes
        Genes that edges may land on; None: those in `truth`.
    rng
        Seed or Generator.

    Returns
    -------
    As many edges as `truth`: `source`, `target`, `weight`.

    Examples
    --------
    >>> import pandas as pd, scdash
    >>> truth = pd.DataFrame({"source": ["a", "b"], "target": ["b", "c"], "weight": [1.0, -1.0]})
    >>> scdash.simulate.corrupt_prior(truth, 0.5).merge(truth).shape[0]
    1
    """
    if not 0 <= moved <= 1:
        raise ValueError(f"moved must be between 0 and 1, found {moved}.")
    rng = as_generator(rng)
    names = pd.Index(pd.unique(truth[["source", "target"]].to_numpy().ravel())) if genes is None else pd.Index(genes)
    n = len(names)
    taken = names.get_indexer(truth["source"]).astype(np.int64) * n + names.get_indexer(truth["target"])
    number = round(moved * len(truth))
    rows = rng.choice(len(truth), number, replace=False)
    places = _free_pairs(taken, n, number, rng)
    prior = truth[["source", "target", "weight"]].reset_index(drop=True).copy()
    prior["source"], prior["target"] = prior["source"].astype(object), prior["target"].astype(object)
    prior.loc[rows, "source"] = names[places // n].to_numpy(dtype=object)
    prior.loc[rows, "target"] = names[places % n].to_numpy(dtype=object)
    return prior


def _free_pairs(taken: NDArray[np.int64], n: int, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return distinct pairs source * n + target, none a self edge, none taken; drawn without an n x n array."""
    if n * (n - 1) - len(taken) < number:
        raise ValueError(f"{n} genes leave no room for {number} moved edges beside {len(taken)} true ones.")
    found = np.zeros(0, np.int64)
    while len(found) < number:
        drawn = rng.integers(0, n * n, 2 * (number - len(found)) + 8)
        drawn = drawn[(drawn // n != drawn % n) & ~np.isin(drawn, taken)]
        merged = np.concatenate([found, drawn])
        _, first = np.unique(merged, return_index=True)
        found = merged[np.sort(first)][:number]
    return found
