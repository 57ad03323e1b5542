"""Data that carry direction, beside baselines: `python -m benchmarks.direction [--rows semrau paul15 ...] [--seeds 3]`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data), POT, and scVelo for the pancreas. Writes runs.csv (every run; those of other
rows are kept), summary.csv (mean, lowest and highest over seeds) and direction.png into benchmarks/direction. A further row
of the table is a function of a seed that yields `Row`, entered in `ROWS`.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from benchmarks.direction.branches import NAME, paul15
from benchmarks.direction.data import HERE
from benchmarks.direction.fates import fates
from benchmarks.direction.ordered import ordered
from benchmarks.direction.row import OURS, Row
from benchmarks.direction.sampled import hsmm, renge, semrau
from benchmarks.direction.velocity import pancreas

ROWS: dict[str, Callable[[int], Iterator[Row]]] = {
    "semrau": semrau,
    "hsmm": hsmm,
    "renge": renge,
    "ordered": ordered,
    "paul15": paul15,
    "fates": fates,
    "pancreas": pancreas,
}
RATIO = "MSE of left-out times / linear interpolation"
COLORS = {OURS: "#0072B2", "no network": "#999999", "state before": "#CCCCCC", f"{OURS}, without couplings": "#56B4E9"}


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest value over seeds."""
    grouped = runs.groupby(["data", "measure", "predictor"], sort=False)["value"]
    return grouped.agg(["mean", "min", "max", "count"]).rename(columns={"count": "seeds"}).reset_index()


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw errors on left-out times, and how lineages are followed; a point is a run, a bar the mean."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=(3, 2), layout="constrained")
    left = runs[(runs["measure"] == RATIO) & runs["predictor"].isin(COLORS)]
    right = runs[(runs["data"] == NAME) & runs["measure"].str.endswith("R2 of the mean trajectory")]
    right = right.assign(data=right["measure"].str.split(":").str[0])
    shades = [COLORS, {OURS: COLORS[OURS], "one label per cell": "#CCCCCC"}]
    for ax, part, colors in zip(axes, (left, right), shades, strict=True):
        names = list(dict.fromkeys(part["data"]))
        width = 0.8 / len(colors)
        for k, (predictor, color) in enumerate(colors.items()):
            for at, name in enumerate(names):
                values = part[(part["data"] == name) & (part["predictor"] == predictor)]["value"]
                x = at + (k - (len(colors) - 1) / 2) * width
                ax.bar(x, values.mean(), width * 0.9, color=color, label=predictor if at == 0 else None)
                ax.plot([x] * len(values), values, "o", color="black", ms=2.5)
        ax.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names], fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].axhline(1, color="black", lw=0.8, ls="--")
    axes[0].set(ylabel="MSE of left-out times /\nlinear interpolation", ylim=(0, 3.5))
    axes[1].axhline(0.85, color="black", lw=0.8, ls="--")
    axes[1].set(ylabel="R2 of the mean trajectory\nof paul15's lineages", ylim=(min(0, right["value"].min()), 1))
    for ax in axes:
        ax.legend(frameon=False, fontsize=7, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Run the rows that are asked for and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    import scdash

    scdash.settings.verbosity = 0
    file = options.out / "runs.csv"
    options.out.mkdir(parents=True, exist_ok=True)
    runs = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=list(Row._fields))
    for seed in range(options.seeds):
        for name in options.rows:
            found = pd.DataFrame(ROWS[name](seed), columns=list(Row._fields))
            again = runs["data"].isin(found["data"]) & (runs["seed"] == seed)
            runs = found if runs.empty else pd.concat([runs[~again], found], ignore_index=True)
            runs.to_csv(file, index=False, float_format="%.4g")
            print(found.to_string(index=False), flush=True)
    table = summary(runs)
    table.to_csv(options.out / "summary.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False))
    draw(runs, options.out / "direction.png")


if __name__ == "__main__":
    main()
