"""The tables of the README and the picture, from the summary alone."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.phenotypes.scores import BASELINES, FORMS, OURS

PRIOR_NAMES = {"collectri": "CollecTRI", "base_grn": "base GRN", "none": "no prior"}
HEAD = """<!-- written by `python -m benchmarks.phenotypes` from summary.csv; do not edit -->
# Known loss-of-function phenotypes

Area under the ROC curve (AUC) of scores of single knock-outs, among the transcription factors that were modelled. The
calls were curated from published knock-outs without sight of any model; "unknown" factors count among the rest, although
some of them will be needed. Well-studied factors are over-represented among the positives, so that a score that follows
expression, or the number of known targets in the prior, looks good: hence the baselines, the fits without a prior, and
the AUC that is left when the ranks of expression, signed and absolute change are regressed out of the ranks of the score.
Intervals are 95 % of 2,000 bootstrap draws of factors, the same for both scores. Of strong phenotypes, partial ones take
no part. Factors without a target in the network have no score and are ranked last, as equals.

`tl.perturbation_scores` ranks by the distance by which the end of the lineage moves, without a direction. The other forms
below it were computed as well. The distance was preferred because it agrees between batches (rank correlations of .97 to .99
on both lineages, of the part along the path .7 to .9), and its units are those in which the fit counts errors. That choice
was not blind: one fit of B cells and one of the erythroid lineage were compared with the curated calls in 26 forms before it.
Simulated cells do not decide it (`python -m benchmarks.phenotypes.simulated`, 14 systems in two designs): for the true
distance the AUC of the score is .54 and .54, of the part along the path .55 and .51, of mean expression .59 and .66; for the
true loss along the path they are .57 and .52, .53 and .60, and the signed change has .63 and .65.
"""


def readme(table: pd.DataFrame) -> str:
    """Return the README of the benchmark."""
    parts = [HEAD]
    for question in ("required, rest", "strong, rest"):
        chosen = table[table["question"] == question]
        parts.append(f"\n## {question.replace(', ', ' against the ')}\n")
        parts.append(_areas(chosen))
    chosen = table[table["question"] == "required, rest"]
    parts += ["\n## Mean ranks of all seeds together, required against the rest\n", _together(chosen)]
    parts += [
        "\n## Difference of our score to each baseline, required against the rest (intervals: mean ranks of the seeds)\n",
        _differences(chosen),
    ]
    parts += ["\n## What is left without expression and its changes, required against the rest\n", _residuals(chosen)]
    return "\n".join(parts)


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    seeds = table["seeds"].map(lambda count: f" ({count} seed{'s' if count > 1 else ''})")
    named = table.assign(fit=table["lineage"] + ", " + table["prior"].map(PRIOR_NAMES) + seeds)
    wide = named.pivot_table(index="score", columns="fit", values=column, sort=False)
    return wide.reindex([OURS, *BASELINES, *FORMS])


def _areas(table: pd.DataFrame) -> str:
    wide = _wide(table, "auc")
    counts = table.groupby("lineage", sort=False)[["positives", "others"]].first()
    said = "; ".join(f"{name}: {row.positives} and {row.others}" for name, row in counts.iterrows())
    return f"Numbers of positive and other factors: {said}.\n\n{_markdown(wide.map('{:.3f}'.format))}\n"


def _together(table: pd.DataFrame) -> str:
    wide = _wide(table, "auc_of_mean_ranks").loc[[OURS, *BASELINES]]
    return _markdown(wide.map("{:.3f}".format)) + "\n"


def _differences(table: pd.DataFrame) -> str:
    rows = []
    ours = table[table["score"] == OURS].set_index(["lineage", "prior"])["auc"]
    for row in table[table["score"].isin(BASELINES)].itertuples():
        gain = ours[row.lineage, row.prior] - row.auc
        rows.append(
            {
                "score": row.score,
                "fit": f"{row.lineage}, {PRIOR_NAMES[row.prior]}",
                "said": f"{gain:+.3f} ({row.ours_better_low:+.2f} to {row.ours_better_high:+.2f})",
            }
        )
    wide = pd.DataFrame(rows).pivot_table(index="score", columns="fit", values="said", aggfunc="first", sort=False)
    return _markdown(wide) + "\n"


def _residuals(table: pd.DataFrame) -> str:
    wide = _wide(table, "residual_auc").loc[[OURS, "out-strength of the network", *BASELINES[4:]]]
    return _markdown(wide.map("{:.3f}".format)) + "\n"


def _markdown(table: pd.DataFrame) -> str:
    lines = ["| score | " + " | ".join(map(str, table.columns)) + " |", "| --- |" + " --- |" * table.shape[1]]
    return "\n".join(lines + [f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in zip(table.index, table.to_numpy(), strict=True)])  # fmt: skip


def picture(table: pd.DataFrame, runs: pd.DataFrame, path: Path) -> None:
    """Draw the areas of every score: a dot for each seed, a bar for their mean, priors in colours."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [OURS, *BASELINES]
    lineages = list(table["lineage"].unique())
    colors = dict(zip(PRIOR_NAMES, ("#0072B2", "#E69F00", "#666666"), strict=True))
    figure, axes = plt.subplots(1, len(lineages), figsize=(3.6 * len(lineages) + 1.6, 3.6), sharey=True, squeeze=False,
                                layout="constrained")  # fmt: skip
    for axis, lineage in zip(axes[0], lineages, strict=True):
        for k, prior in enumerate(PRIOR_NAMES):
            part = runs[
                (runs["lineage"] == lineage) & (runs["prior"] == prior) & (runs["question"] == "required, rest")
            ]
            for place, name in enumerate(names):
                values = part.loc[part["score"] == name, "auc"]
                height = place + 0.22 * (k - 1)
                axis.scatter(values, np.full(len(values), height), s=14, color=colors[prior], alpha=0.6, lw=0)
                axis.plot([values.mean()] * 2, [height - 0.1, height + 0.1], color=colors[prior], lw=2)
        axis.axvline(0.5, color="0.6", lw=0.8)
        axis.set(title=lineage, xlabel="AUC, required against the rest", ylim=(len(names) - 0.5, -0.5))
        axis.set_yticks(range(len(names)), names)
    handles = [plt.Line2D([], [], color=colors[key], marker="o", label=label) for key, label in PRIOR_NAMES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)
