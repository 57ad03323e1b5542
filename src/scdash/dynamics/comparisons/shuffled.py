"""What a network is compared with: the same fit with other regulators, another prior, or another order of time."""

from itertools import islice

import numpy as np
import scipy.sparse as sp

from scdash._core.types import Index


def random_regulators(regulators: Index, genes: int, rng: np.random.Generator, *, number: int = 4) -> list[Index]:
    """Return sets of as many genes as there are regulators, none of them a regulator where enough others exist.

    Where they do not, sets are drawn from all genes; where every gene is a regulator there is nothing to draw.
    """
    known = np.unique(regulators)
    if not 0 < len(known) < genes:
        return []
    others = np.setdiff1d(np.arange(genes), known)
    pool = others if len(others) >= len(known) else np.arange(genes)
    return [np.sort(rng.choice(pool, len(known), replace=False)) for _ in range(number)]


def shuffle_labels(prior: sp.csr_matrix, regulators: Index | None, rng: np.random.Generator) -> sp.csr_matrix:
    """Permute the names of the genes of a prior (target, regulator), regulators among regulators.

    Numbers of targets and of regulators, and all structure, are kept; only whose they are is not. `regulators` None:
    the genes that regulate in the prior.
    """
    entries = sp.coo_matrix(prior)
    known = np.unique(entries.col if regulators is None else np.asarray(regulators))
    name = np.arange(entries.shape[0])
    for group in (known, np.setdiff1d(name, known)):
        name[group] = rng.permutation(group)
    return sp.csr_matrix((entries.data, (name[entries.row], name[entries.col])), shape=entries.shape)


def shuffled_priors(
    prior: sp.csr_matrix, regulators: Index | None, rng: np.random.Generator, *, number: int, tries: int = 20
) -> list[sp.csr_matrix]:
    """Return priors with permuted names (`shuffle_labels`), none of them with the edges of the real one.

    Fewer than `number` where permutations hardly ever change the edges, as for a prior that lists all pairs.
    """
    real = sp.csr_matrix(prior).astype(bool)
    drawn = (shuffle_labels(prior, regulators, rng) for _ in range(number * tries))
    return list(islice((one for one in drawn if (one.astype(bool) != real).nnz), number))
