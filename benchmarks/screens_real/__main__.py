"""`python -m benchmarks.screens_real [--only dream4 counts ...] [--seeds 3]`.

Writes `benchmarks/screens_real.csv` (one row per run; the rows of a part that is run anew are replaced) and
`benchmarks/screens_real.png`, and prints the mean and the spread over seeds.
"""

import argparse
from pathlib import Path

import pandas as pd

from benchmarks.screens_real.rows import ROWS

HERE = Path(__file__).parents[1]
RUNS, FIGURE = HERE / "screens_real.csv", HERE / "screens_real.png"
SHOWN = [
    "aupr",
    "aupr_differential_expression",
    "aupr_z_score",
    "aupr_pearson",
    "aupr_forest",
    "aupr_genie3",
    "aupr_dyngenie3",
    "chance",
    "precision",
    "edges",
]
SHOWN += [
    "error_best",
    "error_network",
    "error_mean_of_others",
    "error_no_change",
    "error_day_before",
    "spectral_radius",
    "cpu_seconds",
]


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of every screen over its runs, with the spread of the AUPRC."""
    groups = runs.groupby("screen", sort=False)
    means = groups[[name for name in SHOWN if name in runs]].mean()
    if "aupr" in runs:
        means.insert(1, "aupr_sd", groups["aupr"].std())
    return means.assign(runs=groups.size())


def draw(runs: pd.DataFrame) -> None:
    """Draw the AUPRC of every screen beside its baselines, with every run as a point."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    known = runs[runs["chance"].notna()]
    names = list(dict.fromkeys(known["screen"]))
    figure, ax = plt.subplots(figsize=(7, 0.24 * len(names) + 1.1), layout="constrained")
    for column, label, color, marker in (
        ("aupr", "scdash", "#1b6ca8", "o"),
        ("aupr_differential_expression", "differential expression", "#c44e52", "s"),
        ("aupr_z_score", "z-score (rows of states)", "#e1a33a", "D"),
        ("aupr_pearson", "|Pearson|", "#8c8c8c", "x"),
        ("aupr_forest", "forest", "#55a868", "^"),
        ("aupr_genie3", "GENIE3", "#55a868", "v"),
        ("aupr_dyngenie3", "dynGENIE3", "#8172b2", "P"),
        ("chance", "chance", "#999999", "|"),
    ):
        if column in known:
            rows = [names.index(name) for name in known["screen"]]
            ax.plot(known[column], rows, marker, color=color, ms=4, label=label, ls="")
    ax.set_yticks(range(len(names)), names, fontsize=7)
    ax.invert_yaxis()
    ax.set(xlabel="AUPRC of the ranked edges", xlim=(0, 1))
    ax.grid(axis="y", lw=0.4, alpha=0.5)
    figure.legend(frameon=False, fontsize=7, loc="outside lower center", ncols=4)  # inside it hides runs
    figure.savefig(FIGURE, dpi=150)


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    import scdash

    scdash.settings.verbosity = 0
    runs = pd.read_csv(RUNS) if RUNS.exists() else pd.DataFrame({"part": []})
    for part in options.only:
        found = pd.DataFrame(list(ROWS[part](options.seeds))).assign(part=part)
        runs = pd.concat([runs[runs["part"] != part], found], ignore_index=True)
        runs.to_csv(RUNS, index=False, float_format="%.5g")
        print(table(found).to_string(float_format=lambda value: f"{value:.4g}"))
    draw(runs)


if __name__ == "__main__":
    main()
