"""Knock-out scores against curated loss-of-function phenotypes: `python -m benchmarks.phenotypes`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data). Writes runs.csv (every lineage, prior, seed and
score), summary.csv (means over seeds, with paired bootstrap intervals of the difference to our score), README.md and
phenotypes.png into benchmarks/phenotypes. `--fits FOLDER` keeps the fits, and reads those that are there; with
`--only-kept` no others are made.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.phenotypes.data import HERE, LINEAGES, PRIORS, fitted, path_of, phenotypes
from benchmarks.phenotypes.report import picture, readme
from benchmarks.phenotypes.scores import OURS, all_scores
from benchmarks.phenotypes.statistics import auc, contrasts, interval_of_difference, residual


def run(lineage: str, prior: str, seed: int, kept_in: Path | None) -> pd.DataFrame:
    """Return the scores of one fit, a row for each factor of the curated table that was modelled."""
    adata = fitted(lineage, prior, seed, kept_in)
    modelled = {str(gene) for gene in adata.uns["dynamics"]["genes"]}
    factors = [gene for gene in phenotypes(lineage).index if gene in modelled]
    return all_scores(adata, prior, factors)


def rows_of(lineage: str, prior: str, seed: int, scores: pd.DataFrame) -> list[dict[str, object]]:
    """Return the areas of one fit."""
    rows: list[dict[str, object]] = []
    for question, (used, positive) in contrasts(phenotypes(lineage).loc[scores.index]).items():
        for name in scores:
            row: dict[str, object] = {"lineage": lineage, "prior": prior, "seed": seed, "question": question}
            row |= {"score": name, "auc": auc(scores[name].to_numpy()[used], positive[used])}
            row |= {"residual_auc": auc(residual(scores, str(name))[used], positive[used])}
            rows.append(row | {"positives": int(positive.sum()), "others": int((used & ~positive).sum())})
    return rows


def summary(runs: pd.DataFrame, tables: dict[tuple[str, str], list[pd.DataFrame]]) -> pd.DataFrame:
    """Return means over seeds, and intervals of the differences of our score (mean ranks over seeds) to each other one."""
    keys = ["lineage", "prior", "question", "score"]
    found = runs.groupby(keys, sort=False).agg(
        auc=("auc", "mean"), sd_of_seeds=("auc", "std"), residual_auc=("residual_auc", "mean"),
        positives=("positives", "first"), others=("others", "first"), seeds=("seed", "nunique"),
    ).reset_index()  # fmt: skip
    low, high, together = (np.full(len(found), np.nan) for _ in range(3))
    for k, row in enumerate(found.itertuples()):
        ranks = sum(table.rank() for table in tables[row.lineage, row.prior])
        used, positive = contrasts(phenotypes(row.lineage).loc[ranks.index])[row.question]
        together[k] = auc(ranks[row.score].to_numpy()[used], positive[used])
        if row.score != OURS:
            ours, other = (ranks[name].to_numpy()[used] for name in (OURS, row.score))
            low[k], high[k] = interval_of_difference(ours, other, positive[used])
    return found.assign(auc_of_mean_ranks=together, ours_better_low=low, ours_better_high=high)


def main(lineages: list[str], seeds: int, out: Path, kept_in: Path | None, *, only_kept: bool) -> None:
    """Run all fits and write what they gave."""
    rows: list[dict[str, object]] = []
    tables: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for seed in range(seeds):
        for lineage in lineages:
            for prior in PRIORS[lineage]:
                if only_kept and not path_of(lineage, prior, seed, kept_in).exists():
                    continue
                scores = run(lineage, prior, seed, kept_in)
                tables.setdefault((lineage, prior), []).append(scores)
                rows += rows_of(lineage, prior, seed, scores)
                last = [row for row in rows[-len(scores.columns) * 4 :] if row["score"] == OURS]
                print(lineage, prior, seed, [f"{row['question']}: {row['auc']:.3f}" for row in last], flush=True)
    runs = pd.DataFrame(rows)
    table = summary(runs, tables)
    out.mkdir(parents=True, exist_ok=True)
    runs.to_csv(out / "runs.csv", index=False, float_format="%.4f")
    table.to_csv(out / "summary.csv", index=False, float_format="%.4f")
    (out / "README.md").write_text(readme(table))
    picture(table, runs, out / "phenotypes.png")
    print(readme(table))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lineages", nargs="+", choices=list(LINEAGES), default=list(LINEAGES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--fits", type=Path, help="folder to keep fits in, and to read them from")
    parser.add_argument("--only-kept", action="store_true", help="make no fits that are not in that folder")
    given = parser.parse_args()
    main(given.lineages, given.seeds, given.out, given.fits, only_kept=given.only_kept)
