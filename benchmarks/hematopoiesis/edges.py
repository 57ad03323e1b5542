"""Are hidden prior edges found again? Against random pairs everything finds them; against degree-matched ones, nothing did."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.hematopoiesis.data import collectri, protocol_a
from benchmarks.hematopoiesis.fits import fitted

HIDDEN = 0.2


def recovery(lineage: str, seed: int) -> dict[str, Any]:
    """Return AUCs of hidden CollecTRI edges: the fit's score, and the product of degrees in the prior that was left."""
    from sklearn.metrics import roc_auc_score

    from benchmarks.hematopoiesis.data import cells
    from scdash.metrics import degree_matched_non_edges

    genes = cells(lineage).var_names
    prior = collectri(genes)
    rng = np.random.default_rng(seed)
    hidden = rng.random(len(prior)) < HIDDEN
    adata = fitted(
        lineage, "regression, CollecTRI", seed=seed, prior=prior[~hidden], controls=False, **protocol_a(lineage)
    )
    table = adata.uns["dynamics"]["edges"]
    score = pd.Series(table["stability"].to_numpy(), pd.MultiIndex.from_frame(table[["source", "target"]].astype(str)))
    left = prior[~hidden]
    out, into = left["source"].value_counts(), left["target"].value_counts()
    true = prior.loc[hidden, ["source", "target"]]
    matched = degree_matched_non_edges(true, known=prior, genes=genes, rng=seed)
    tfs = np.intersect1d(prior["source"].unique(), genes)
    random = pd.DataFrame({"source": rng.choice(tfs, 3000), "target": rng.choice(genes, 3000)})
    known = pd.MultiIndex.from_frame(prior[["source", "target"]])
    random = random[~pd.MultiIndex.from_frame(random).isin(known)]
    row: dict[str, Any] = {"lineage": lineage, "seed": seed, "hidden_edges": len(true)}
    for name, negatives in (("degree-matched", matched), ("random", random)):
        pairs = pd.concat([true, negatives])
        label = np.arange(len(pairs)) < len(true)
        of = pd.MultiIndex.from_frame(pairs[["source", "target"]])
        row[f"AUC fit, {name}"] = roc_auc_score(label, score.reindex(of).fillna(0))
        product = out.reindex(pairs["source"]).fillna(0).to_numpy() * into.reindex(pairs["target"]).fillna(0).to_numpy()
        row[f"AUC degree product, {name}"] = roc_auc_score(label, product)
    return row
