"""Threshold-free figures of ranked edges, from blocks of ties rather than from all n^2 pairs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scdash._core.process_state import guarded
from scdash.metrics.edge_lists import GRN, EdgeList, align


@dataclass(frozen=True)
class TiedBlocks:
    """Items in order of falling score; items of equal score form one block, whose inner order is unknown."""

    size: NDArray[np.int64]  # (blocks,) items
    true: NDArray[np.int64]  # (blocks,) true items

    @classmethod
    def rank(
        cls, score: NDArray[np.float64], true: NDArray[np.bool_], *, absent: float, n_absent: int, true_absent: int
    ) -> Self:
        """Rank listed items together with `n_absent` unlisted ones, which all score `absent`."""
        levels, block = np.unique(np.append(-score, -absent), return_inverse=True)
        size = np.bincount(block, minlength=len(levels))
        hits = np.bincount(block[:-1], weights=true, minlength=len(levels)).astype(np.int64)
        size[block[-1]] += n_absent - 1
        hits[block[-1]] += true_absent
        return cls(size[size > 0], hits[size > 0])

    def average_precision(self) -> float:
        """Return sum over blocks of (recall gained) x (precision once the whole block is taken), from scikit-learn."""
        from sklearn.metrics import average_precision_score

        return float(average_precision_score(**self._weighted()))

    def expected_hits(self, taken: float) -> float:
        """Return the expected number of true items among the first `taken`, ties being broken at random."""
        return float(np.interp(taken, np.append(0, np.cumsum(self.size)), np.append(0, np.cumsum(self.true))))

    def auc(self) -> float:
        """Return the chance that a true item outranks a false one, a tie counting one half, from scikit-learn."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(**self._weighted()))

    def _weighted(self) -> dict[str, NDArray[Any]]:
        """Return one true and one false item of every block, weighted by how many of either kind it holds."""
        place = np.arange(len(self.size), 0, -1)
        return {
            "y_true": np.repeat([True, False], len(place)),
            "y_score": np.tile(place, 2),
            "sample_weight": np.concatenate([self.true, self.size - self.true]),
        }


class Auprc(float):
    """Area under the precision-recall curve: a float that carries the `prevalence`, the value of a random ranking.

    See Also
    --------
    scdash.metrics.auprc : Area under the precision-recall curve of ranked edges (average precision).
    """

    prevalence: float

    def __new__(cls, value: float, prevalence: float) -> Self:
        """Attach `prevalence` to `value`."""
        result = super().__new__(cls, value)
        result.prevalence = prevalence
        return result

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]
        return float(self), self.prevalence

    def __repr__(self) -> str:
        return f"Auprc({float(self):.4g}, prevalence={self.prevalence:.4g})"


@guarded
def auprc(
    scores: GRN,
    truth: GRN,
    *,
    signed: bool = False,
    exclude_self: bool = True,
    value: str | None = None,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> Auprc:
    r"""Area under the precision-recall curve of ranked edges (average precision).

    :math:`\mathrm{AP} = \sum_k (R_k - R_{k-1}) P_k` over the distinct scores in falling order, so that a block of ties
    counts with the precision reached once all of it is taken, as in scikit-learn. All pairs of genes are ranked: pairs
    that are not listed score zero and form one block. The result is exact and costs O(edges log edges), whatever the
    number of genes.

    Parameters
    ----------
    scores
        Scores of edges: a matrix (row regulates column), a table (source, target, and `value`), or an AnnData.
    truth
        The true edges in any of these forms, or for an AnnData the name of a table in `uns` or a matrix in `varp`.
    signed
        False ranks by absolute score. True ranks (pair, sign) items by sign times score, for the signs that occur in
        the truth: an edge found with the wrong sign is not found. With activation only this ranks by the score itself.
    exclude_self
        Leave pairs of a gene with itself out, of scores and truth.
    value
        Column of the table `scores` to rank by (default ``weight``).
    genes
        Genes whose pairs are ranked; default: the modelled genes of the AnnData, the rows of the matrix, or the names
        in both tables. Where tables leave genes out, pass them: the prevalence depends on it.
    key
        Name of the fit in the AnnData, or of a matrix in its `varp`.

    Returns
    -------
    Auprc
        A float with attribute `prevalence`, the fraction of true items, which a random ranking scores.

    See Also
    --------
    scdash.metrics.grn_report : Compare a network with a known truth, and say what it adds to the prior it was given.
    scdash.metrics.top_k_precision : Fraction of true edges among the `k` best pairs, ranked by absolute score; ties at the cut count by expectation.

    Examples
    --------
    >>> import numpy as np
    >>> area = scdash.metrics.auprc(np.array([[0, 2.0], [1.0, 0]]), np.array([[0, 1], [0, 0]]))
    >>> float(area), area.prevalence
    (1.0, 0.5)
    """
    ranked, true = align(scores, truth, genes=genes, key=key, value=value, arguments=("scores", "truth"))
    blocks = rank_pairs(ranked, true, signed=signed, exclude_self=exclude_self)
    return Auprc(blocks.average_precision(), float(blocks.true.sum() / blocks.size.sum()))


def rank_pairs(
    scores: EdgeList,
    truth: EdgeList,
    *,
    signed: bool = False,
    exclude_self: bool = True,
    unlisted_last: bool = False,
) -> TiedBlocks:
    """Rank all pairs of genes by |score|, unlisted pairs at zero; `unlisted_last` ranks by the score itself."""
    truth = truth.nonzero()
    if exclude_self:
        scores, truth = scores.without_self(), truth.without_self()
    if not len(truth):
        raise ValueError("truth holds no edge among the genes compared: there is nothing to recover.")
    n_pairs = scores.n * (scores.n - 1) if exclude_self else scores.n**2
    label = np.sign(truth.values_at(scores.key))
    signs = np.unique(np.sign(truth.value)) if signed else np.array([0.0])
    plain = scores.value if unlisted_last else np.abs(scores.value)
    value = np.concatenate([sign * scores.value if sign else plain for sign in signs])
    true = np.concatenate([label == sign if sign else label != 0 for sign in signs])
    return TiedBlocks.rank(
        value,
        true,
        absent=-np.inf if unlisted_last else 0.0,
        n_absent=len(signs) * (n_pairs - len(scores)),
        true_absent=len(truth) - int(true.sum()),
    )


@guarded
def recall_at_density(
    scores: GRN,
    truth: GRN,
    density: float,
    *,
    exclude_self: bool = True,
    value: str | None = None,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> float:
    """Fraction of the true edges among the best `density` of all pairs, ranked by absolute score.

    Ties across the cut count by their expectation under random order, so that the result does not depend on the order
    of the genes. Parameters as in :func:`auprc`; a random ranking recalls `density`.

    Returns
    -------
    float
        0 to 1.

    See Also
    --------
    scdash.metrics.top_k_precision : Fraction of true edges among the `k` best pairs, ranked by absolute score; ties at the cut count by expectation.
    scdash.metrics.auprc : Area under the precision-recall curve of ranked edges (average precision).

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> 0 <= scdash.metrics.recall_at_density(adata, truth, 0.1) <= 1
    True
    """
    if not 0 < density <= 1:
        raise ValueError(f"density must lie in (0, 1], found {density!r}: the fraction of pairs to take.")
    ranked, true = align(scores, truth, genes=genes, key=key, value=value, arguments=("scores", "truth"))
    blocks = rank_pairs(ranked, true, exclude_self=exclude_self)
    return blocks.expected_hits(density * float(blocks.size.sum())) / float(blocks.true.sum())


@guarded
def top_k_precision(
    scores: GRN,
    truth: GRN,
    k: int,
    *,
    exclude_self: bool = True,
    value: str | None = None,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> float:
    """Fraction of true edges among the `k` best pairs, ranked by absolute score; ties at the cut count by expectation.

    Parameters as in :func:`auprc`; a random ranking scores the prevalence.

    Returns
    -------
    float
        0 to 1.

    See Also
    --------
    scdash.metrics.recall_at_density : Fraction of the true edges among the best `density` of all pairs, ranked by absolute score.
    scdash.metrics.auprc : Area under the precision-recall curve of ranked edges (average precision).

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> 0 <= scdash.metrics.top_k_precision(adata, truth, 5) <= 1
    True
    """
    ranked, true = align(scores, truth, genes=genes, key=key, value=value, arguments=("scores", "truth"))
    blocks = rank_pairs(ranked, true, exclude_self=exclude_self)
    pairs = int(blocks.size.sum())
    if not 1 <= k <= pairs:
        raise ValueError(f"k must lie between 1 and the number of pairs, {pairs}; found {k!r}.")
    return blocks.expected_hits(k) / k


@guarded
def evidence_auc(
    scores: GRN,
    hidden: GRN,
    *,
    against: GRN | None = None,
    known: GRN | None = None,
    value: str | None = None,
    genes: Iterable[str] | None = None,
    key: str = "dynamics",
) -> float:
    """Chance that a prior edge hidden from the fit outranks a pair that is no prior edge (area under the ROC curve).

    It needs no truth: 0.5 means that the data carry no evidence for edges of the kind the prior lists. Hubs alone lift it
    far above 0.5 against random pairs, so compare it with :func:`degree_matched_non_edges` too.

    Parameters
    ----------
    scores
        Scores of edges from a fit that did not see `hidden`, in any form :func:`auprc` takes; ranked by absolute value,
        unlisted pairs score zero, ties count one half.
    hidden
        The prior edges that were hidden.
    against
        The pairs they are compared with; default: every pair of two genes that is neither hidden nor `known`.
    known
        The prior edges that the fit did see, left out of the comparison.
    value, genes, key
        As in :func:`auprc`.

    Returns
    -------
    float
        0 to 1; 0.5 where hidden edges are ranked as other pairs are.

    See Also
    --------
    scdash.metrics.auprc : Area under the precision-recall curve of ranked edges (average precision).
    scdash.metrics.degree_matched_non_edges : Rewire edges into pairs that are no edges, every gene keeping its number of targets and regulators.

    Examples
    --------
    >>> truth = adata.uns["truth"]
    >>> 0 <= scdash.metrics.evidence_auc(adata, truth) <= 1
    True
    """
    others = {name: network for name, network in (("against", against), ("known", known)) if network is not None}
    titles = ("scores", "hidden", *others)
    ranked, positive, *rest = align(
        scores, hidden, *others.values(), genes=genes, key=key, value=value, arguments=titles
    )
    ranked, positive = ranked.without_self(), positive.nonzero().without_self()
    if not len(positive):
        raise ValueError("hidden holds no edge among the genes compared.")
    seen = rest[-1].nonzero().without_self().key if known is not None else np.empty(0, np.int64)
    taken = np.setdiff1d(seen, positive.key)
    if against is not None:
        negative = np.setdiff1d(rest[0].without_self().key, np.concatenate([positive.key, taken]))
        pairs = np.concatenate([positive.key, negative])
        score, true = np.abs(ranked.values_at(pairs)), np.arange(len(pairs)) < len(positive)
        n_absent = true_absent = 0
    else:
        listed = ranked.keep(~np.isin(ranked.key, taken))
        score, true = np.abs(listed.value), positive.holds(listed.key)
        n_absent = ranked.n * (ranked.n - 1) - len(taken) - len(listed)
        true_absent = len(positive) - int(true.sum())
    if len(score) + n_absent == len(positive):
        raise ValueError("against holds no pair that is not itself a prior edge.")
    return TiedBlocks.rank(score, true, absent=0.0, n_absent=n_absent, true_absent=true_absent).auc()
