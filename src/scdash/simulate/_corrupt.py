"""Priors that are wrong by a known amount."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator


@guarded
def corrupt_prior(
    truth: pd.DataFrame, moved: float, *, genes: Sequence[str] | pd.Index | None = None, rng: RNG = 0
) -> pd.DataFrame:
    """Move a fraction of the edges of a network to random places.

    Parameters
    ----------
    truth
        Edges: `source`, `target`, `weight`.
    moved
        Fraction of edges moved, 0 to 1 (rounded to whole edges). A moved edge keeps its sign; it lands on a pair of
        different genes that is neither a true edge nor taken.
    genes
        Genes that edges may land on; None: those in `truth`.
    rng
        Seed or Generator.

    Returns
    -------
    DataFrame
        As many edges as `truth`: `source`, `target`, `weight`.

    See Also
    --------
    scdash.simulate.shuffle_prior : Permute the names of the genes of a network: the control that knows its shape and nothing of its biology.
    scdash.simulate.grn_dynamics : Simulate trajectories of a random gene-regulatory system whose network is known.

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
    source, target = (names.get_indexer(pd.Index(truth[end])) for end in ("source", "target"))
    taken = source.astype(np.int64) * n + target
    number = round(moved * len(truth))
    rows = rng.choice(len(truth), number, replace=False)
    places = _free_pairs(taken, n, number, rng)
    prior = truth[["source", "target", "weight"]].reset_index(drop=True).copy()
    prior["source"], prior["target"] = prior["source"].astype(object), prior["target"].astype(object)
    prior.loc[rows, "source"] = names[places // n].to_numpy(dtype=object)
    prior.loc[rows, "target"] = names[places % n].to_numpy(dtype=object)
    return prior


@guarded
def shuffle_prior(prior: pd.DataFrame, *, genes: Sequence[str] | pd.Index | None = None, rng: RNG = 0) -> pd.DataFrame:
    """Permute the names of the genes of a network: the control that knows its shape and nothing of its biology.

    Regulators (any `source`) change names with each other and all other genes among themselves, so that the number of
    edges out of a regulator, the number into a target and who shares targets stay, but belong to other genes.

    Parameters
    ----------
    prior
        Edges: `source`, `target` and any other columns, which stay with their edge.
    genes
        Genes of the data: edges between others are left out, and targets may get the names of those that had no
        edge. None: the genes of `prior`.
    rng
        Seed or Generator.

    Returns
    -------
    DataFrame
        The edges with permuted `source` and `target`.

    See Also
    --------
    scdash.simulate.corrupt_prior : Move a fraction of the edges of a network to random places.

    Examples
    --------
    >>> import pandas as pd, scdash
    >>> prior = pd.DataFrame({"source": ["a", "b", "b"], "target": ["x", "y", "x"]})
    >>> shuffled = scdash.simulate.shuffle_prior(prior, rng=0)
    >>> sorted(shuffled["source"].value_counts()), sorted(shuffled["target"].value_counts())
    ([1, 2], [1, 2])
    """
    rng = as_generator(rng)
    names = pd.Index(pd.unique(prior[["source", "target"]].to_numpy().ravel())) if genes is None else pd.Index(genes)
    kept = prior[prior["source"].isin(names) & prior["target"].isin(names)].reset_index(drop=True)
    if kept.empty:
        raise ValueError(f"No edge of the prior lies among the {len(names)} genes.{_example(prior, names)}")
    regulates = names.isin(kept["source"])
    renamed = pd.Series(names.to_numpy(dtype=object), index=names)
    for group in (regulates, ~regulates):
        renamed[names[group]] = rng.permutation(names[group].to_numpy(dtype=object))
    return kept.assign(source=renamed[kept["source"]].to_numpy(), target=renamed[kept["target"]].to_numpy())


def _example(prior: pd.DataFrame, names: pd.Index) -> str:
    if prior.empty or not len(names):
        return ""
    return (
        f" The prior names {prior['source'].iloc[0]!r}, the data {names[0]!r}: align them with scdash.pp.align_prior."
    )


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
