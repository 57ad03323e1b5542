"""Tables of `benchmarks.hsmm`: errors, gene sets, stability, knock-outs, and what they amount to."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._hsmm_data import collectri, error, reference, trivial_errors
from benchmarks._hsmm_fits import KNOWN, MYOGENIC, STRATEGIES

CONTROL = "control: "
COLLECTIONS = {
    "Hallmark": "hallmark_human_msigdb_v7.0.gmt.gz",
    "GO BP": "go_bp_human_2022-07_10to500.gmt.gz",
    "Reactome": "reactome_human_msigdb_v2023.1.gmt.gz",
}
Results = list[dict[str, Any]]


def _done(results: Results) -> list[str]:
    return [name for name in STRATEGIES if any(r["strategy"] == name for r in results)]


def error_table(results: Results, bins: Any, means: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Return a row per fit, one for the mean prediction of each strategy's seeds, and the trivial predictors."""
    rows = []
    for strategy in _done(results):
        mine = [r for r in results if r["strategy"] == strategy]
        for r in mine:
            errors = {name: error(guess, means) for name, guess in r["predictions"].items()}
            rows.append({"model": strategy, "seed": str(r["seed"]), **errors, **r["metrics"]})
        together = {name: np.mean([r["predictions"][name] for r in mine], axis=0) for name in ("next", "from 0")}
        rows.append({"model": strategy, "seed": "mean prediction",
                     **{name: error(guess, means) for name, guess in together.items()}})  # fmt: skip
    trivial = trivial_errors(bins, means)
    return pd.DataFrame(rows + [{"model": name, "seed": "", "next": value} for name, value in trivial.items()])


def averaged(results: Results, genes: pd.Index) -> pd.DataFrame:
    """Return the influences of each strategy and variant, averaged over seeds: the ensemble."""
    found = {}
    for strategy, variant in product(_done(results), results[0]["influences"]):
        scores = np.mean([r["influences"][variant] for r in results if r["strategy"] == strategy], axis=0)
        if np.ptp(scores) > 0:
            found[f"{strategy} | {variant}"] = scores
    return pd.DataFrame(found, index=genes)


def controls(adata: Any) -> pd.DataFrame:
    """Return scores that know no dynamics: the prior's out-degree, correlation of cells with pseudotime, variance."""
    degree = collectri(adata)["source"].value_counts().reindex(adata.var_names, fill_value=0).astype(float)
    dense = pd.DataFrame(adata.X.toarray(), columns=adata.var_names)
    rho = dense.rank().corrwith(adata.obs["pseudotime"].reset_index(drop=True).rank()).fillna(0.0)
    table = pd.DataFrame({"prior out-degree": degree, "|correlation| with pseudotime": rho.abs(),
                          "correlation with pseudotime, signed": rho, "variance": dense.var()})  # fmt: skip
    return table.add_prefix(CONTROL)


def set_tables(influences: pd.DataFrame, adata: Any) -> pd.DataFrame:
    """Test every averaged influence and every control on Hallmark, GO BP and Reactome (signed scores two-sided)."""
    import scdash
    from scdash.networks.pathways.gene_sets import read_gmt

    signed = [column for column in influences if "signed" in column]
    parts = []
    for name, file in COLLECTIONS.items():
        sets = read_gmt(reference() / "genesets" / file)
        for columns, alternative in (([c for c in influences if c not in signed], "greater"), (signed, "two-sided")):
            called = [c for c in columns if c.startswith(CONTROL) or "shuffled" in c]
            scdash.tl.pathways(
                adata, sets, keys=[], scores=influences[columns], alternative=alternative, controls=called, min_size=8,
                max_permutations=50_000,
            )  # fmt: skip
            parts.append(adata.uns["pathways"]["table"].assign(collection=name))
    return pd.concat(parts, ignore_index=True)


def stability(results: Results) -> pd.DataFrame:
    """Return how far seeds of one strategy agree on their influences."""
    from scdash.networks.influences.of_fit import agreement

    rows = []
    for strategy, variant in product(_done(results), results[0]["influences"]):
        mine = [r["influences"][variant] for r in results if r["strategy"] == strategy]
        rows.append({"strategy": strategy, "influence": variant, **agreement(np.column_stack(mine))})
    return pd.DataFrame(rows)


def known_table(table: pd.DataFrame, agreed: pd.DataFrame) -> pd.DataFrame:
    """Return, by score, the corrected p of the known sets, how many sets of each collection pass, and stability."""
    hallmark = table[(table["collection"] == "Hallmark") & table["pathway"].isin(KNOWN)]
    wide = hallmark.pivot(index="fit", columns="pathway", values="bonferroni")
    wide.columns = [f"p {name.removeprefix('HALLMARK_').lower()}" for name in wide.columns]
    passed = table.assign(sets=table["bonferroni"] <= 0.05).pivot_table("sets", "fit", "collection", aggfunc="sum")
    same = agreed.assign(fit=agreed["strategy"] + " | " + agreed["influence"]).set_index("fit")
    same = same[["rank_correlation", "top_overlap"]].add_prefix("seeds: ")
    return wide.join(passed.add_prefix("sets ")).join(same).reindex(pd.unique(table["fit"])).reset_index()


def knockout_table(knocked: pd.DataFrame) -> pd.DataFrame:
    """Return the myogenic factors with the spread over seeds and their place among all regulators."""
    rows = []
    for strategy, gene in product(STRATEGIES, MYOGENIC):
        mine = knocked[knocked["strategy"] == strategy]
        mean = mine.groupby("gene")["HALLMARK_MYOGENESIS"].mean()
        if gene in mean.index:
            each = mine.loc[mine["gene"] == gene, "HALLMARK_MYOGENESIS"]
            rows.append({"strategy": strategy, "knock-out": gene, "muscle genes": each.mean(), "sd": each.std(),
                         "seeds that lower them": f"{(each < 0).sum()}/{len(each)}",
                         "rank (1 lowers most)": int((mean < mean[gene]).sum()) + 1, "of": len(mean)})  # fmt: skip
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame) -> str:
    """Say which known sets influence finds, and which control that knows no dynamics finds them as well."""
    known = table[table["pathway"].isin(KNOWN) & (table["collection"] == "Hallmark") & (table["bonferroni"] <= 0.05)]
    by = {str(fit): set(part["pathway"]) for fit, part in known.groupby("fit", sort=False)}
    fake = {fit: found for fit, found in by.items() if fit.startswith(CONTROL) or "shuffled" in fit}
    lines = [
        f"{fit}: {', '.join(sorted(found))}"
        + "".join(f" (so does {name.removeprefix(CONTROL)})" for name, other in fake.items() if found <= other)
        for fit, found in by.items()
        if not fit.startswith(CONTROL) and "shuffled" not in fit
    ]
    plain = {fit: found for fit, found in by.items() if "correlation" in fit}
    if not lines:
        lines = ["No influence finds any of the known sets at 5 %."]
    lines += [f"{fit}: {', '.join(sorted(found))}" for fit, found in plain.items()]
    return "Known sets at 5 % (Bonferroni), by score\n" + "\n".join(lines)
