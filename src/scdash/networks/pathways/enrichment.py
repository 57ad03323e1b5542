"""Over-representation of a gene list and pre-ranked enrichment, by gseapy on sets we read ourselves.

gseapy drops sets without a hit before it corrects, and its default background is every gene it knows: here the
background is the modelled genes and the correction runs over every set tested, with or without a hit.
"""

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from scdash._core.errors import suggest
from scdash._core.logging import logger
from scdash._core.random_streams import as_generator
from scdash.networks.pathways.gene_sets import Membership
from scdash.networks.pathways.permutation import bonferroni

MANY_TIES = 0.1


def _as_dict(sets: Membership) -> dict[str, list[str]]:
    return {str(name): sets.genes[sets.members(row)].tolist() for row, name in enumerate(sets.names)}


def over_representation(genes: Iterable[str], sets: Membership) -> pd.DataFrame:
    """Test by the hypergeometric tail whether each set holds more of `genes` than a random list would.

    `genes`: the list, a subset of the modelled genes; those outside `sets.genes` cannot be in a set and are ignored.
    `sets`: gene sets restricted to the background.

    The result is a DataFrame with columns pathway, size, size_full, overlap, odds_ratio, p_value, bonferroni, fdr_bh,
    leading_genes; every tested set has a row, those without a hit with p 1.
    """
    listed = list(dict.fromkeys(str(gene) for gene in genes))
    chosen = sorted(set(listed) & set(sets.genes))
    if not chosen:
        raise ValueError(
            f"None of the {len(listed)} listed genes is in a tested set."
            + (suggest(listed[0], sets.genes) if listed else "")
        )
    members = _as_dict(sets)
    if len(chosen) == len(sets.genes):
        raise ValueError("The list holds every gene of the background, so no set can be over-represented. Shorten it.")
    found = _enrich(chosen, members, sets.genes)
    table = pd.DataFrame({"pathway": sets.names, "size": sets.sizes, "size_full": sets.full_sizes}).set_index("pathway")
    hits = found.set_index("Term")
    p = hits["P-value"].astype(float).reindex(table.index).fillna(1.0)
    overlap = {name: [gene for gene in members[name] if gene in set(chosen)] for name in table.index}
    table["overlap"] = [len(overlap[name]) for name in table.index]
    table["odds_ratio"] = hits["Odds Ratio"].astype(float).reindex(table.index).fillna(0.0)
    table["p_value"] = p
    table["bonferroni"], table["fdr_bh"] = bonferroni(p.to_numpy()), false_discovery_control(p.to_numpy())
    table["leading_genes"] = [";".join(overlap[name]) for name in table.index]
    return table.reset_index().sort_values(["p_value", "overlap"], ascending=[True, False], ignore_index=True)


def _enrich(chosen: list[str], members: dict[str, list[str]], background: NDArray[Any]) -> pd.DataFrame:
    columns = ["Term", "P-value", "Odds Ratio"]
    hit = {name: genes for name, genes in members.items() if not set(chosen).isdisjoint(genes)}
    if not hit:  # gseapy logs this as an error
        return pd.DataFrame(columns=columns)
    import gseapy

    result = gseapy.enrich(gene_list=chosen, gene_sets=hit, background=background.tolist(), outdir=None)
    return pd.DataFrame(result.results, columns=columns).drop_duplicates("Term")


def _without_ties(scores: NDArray[np.float64], rng: int) -> NDArray[np.float64]:
    """Put genes of equal score in random order, by shifts far below the smallest difference; warn if there are many."""
    values = np.unique(scores)
    tied = 1 - len(values) / len(scores)
    if not tied:
        return scores
    if tied > MANY_TIES:
        logger.warning(
            "%.0f %% of the genes share a score: their rank is drawn at random. Sums suit such scores better.",
            100 * tied,
        )
    order = as_generator(rng).permutation(len(scores)) / len(scores)
    return scores + 1e-3 * float(np.diff(values).min()) * order


def prerank(scores: NDArray[Any], sets: Membership, *, n_permutations: int = 1000, rng: int = 0) -> pd.DataFrame:
    """Test by gene-set enrichment analysis whether each set's genes lie at one end of the ranking.

    Genes of equal score are put in random order. gseapy's permutations draw gene labels; its p-values are 0 where no permutation reaches the score, which is
    raised here to 1 / (n_permutations + 1).

    `scores`: scores of `sets.genes`, finite and not all equal; signed scores rank from high to low. `sets`: gene sets
    restricted to the universe.

    The result is a DataFrame with columns pathway, size, size_full, enrichment_score, normalised_score, p_value,
    bonferroni, fdr_bh, leading_genes.
    """
    import gseapy

    scores = np.asarray(scores, dtype=np.float64)
    if np.ptp(scores) == 0 or not np.isfinite(scores).all():
        raise ValueError("scores must be finite and not all equal: a constant ranking has no ends.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = gseapy.prerank(
            rnk=pd.Series(_without_ties(scores, rng), index=sets.genes),
            gene_sets=_as_dict(sets),
            permutation_num=n_permutations,
            min_size=1,
            max_size=len(sets.genes),
            seed=rng,
            threads=1,
            outdir=None,
            no_plot=True,
        ).res2d.set_index("Term")
    table = pd.DataFrame({"pathway": sets.names, "size": sets.sizes, "size_full": sets.full_sizes}).set_index("pathway")
    table["enrichment_score"] = result["ES"].astype(float).reindex(table.index)
    table["normalised_score"] = result["NES"].astype(float).reindex(table.index)
    p = result["NOM p-val"].astype(float).reindex(table.index).fillna(1.0).clip(lower=1 / (n_permutations + 1))
    table["p_value"], table["bonferroni"] = p, bonferroni(p.to_numpy())
    table["fdr_bh"] = false_discovery_control(p.to_numpy())
    table["leading_genes"] = result["Lead_genes"].astype(str).reindex(table.index).fillna("")
    return table.reset_index().sort_values(
        ["p_value", "normalised_score"], ascending=[True, False], key=abs, ignore_index=True
    )
