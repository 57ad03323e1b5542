"""Figures of predictors on data sets, run by seed: finished rows are kept, tables and CSV files are written."""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

RESULTS = Path(__file__).parent / "results"
OURS = "scdash"


class Row(NamedTuple):
    """A figure of one predictor on one data set; published figures have the seed -1."""

    data: str
    measure: str
    predictor: str
    seed: int
    value: float


PUBLISHED = -1
Rows = Callable[[int], Iterable[Row]]


def reference() -> Path:
    """Return the folder of the reference data."""
    return Path(os.environ.get("SCDASH_REFERENCE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main(
    what: str,
    doc: str | None,
    rows: Mapping[str, Rows],
    published: Iterable[Row],
    draw: Callable[[pd.DataFrame, Path], None],
    *,
    seeds: int = 3,
) -> None:
    """Run what is asked for, writing as rows come; print the table of all runs so far, and draw it."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", choices=list(rows), default=list(rows), help="none: only print and draw")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--only-seeds", type=int, nargs="*", help="these seeds alone")
    parser.add_argument("--out", type=Path, default=RESULTS / what)
    options = parser.parse_args()
    import scdash

    scdash.settings.verbosity = 0
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds) if options.only_seeds is None else options.only_seeds:
        for name in options.rows:
            found = pd.DataFrame(rows[name](seed), columns=list(Row._fields))
            print(found.to_string(index=False), flush=True)
            keep(found, options.out / "runs.csv")
    keep(pd.DataFrame(published, columns=list(Row._fields)), options.out / "runs.csv")
    runs = pd.read_csv(options.out / "runs.csv")
    table = summary(runs)
    table.to_csv(options.out / "summary.csv", index=False, float_format="%.4g")
    show(table)
    draw(runs, options.out / f"{what}.png")


def keep(rows: pd.DataFrame, path: Path, key: Sequence[str] = ("data", "measure", "predictor", "seed")) -> None:
    """Join new rows with those of earlier calls, of which they replace those with the same `key`."""
    if path.exists():
        old, key = pd.read_csv(path), list(key)
        rest = old[~old.set_index(key).index.isin(rows.set_index(key).index)]
        rows = pd.concat([part for part in (rest, rows) if len(part)] or [rows], ignore_index=True)
    rows.to_csv(path, index=False, float_format="%.5g")


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest value over seeds."""
    grouped = runs.groupby(["data", "measure", "predictor"], sort=False)["value"]
    return grouped.agg(["mean", "min", "max", "count"]).rename(columns={"count": "seeds"}).reset_index()


def show(table: pd.DataFrame) -> None:
    """Print means, a table per measure: predictors in rows, data sets in columns."""
    for measure in table["measure"].unique():
        part = table[table["measure"] == measure]
        wide = part.pivot(index="predictor", columns="data", values="mean")
        wide = wide.loc[part["predictor"].unique(), part["data"].unique()]
        print(f"\n{measure}\n{wide.to_string(float_format=lambda value: f'{value:.4g}', na_rep='')}")


def bars(
    runs: pd.DataFrame,
    path: Path,
    measures: Mapping[str, str],
    colors: Mapping[str, str],
    *,
    chance: float | None = None,
    log: bool = False,
) -> None:
    """Draw a panel per measure (its name -> label of the axis): bars are means, points are runs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    count = [runs[runs["measure"] == measure]["data"].nunique() for measure in measures]
    width = sum(max(2.2, 1.25 * n) for n in count)
    figure, axes = plt.subplots(
        1, len(measures), figsize=(width + 1, 3.6), width_ratios=count, layout="constrained", squeeze=False
    )
    for ax, (measure, label) in zip(axes[0], measures.items(), strict=True):
        part = runs[runs["measure"] == measure]
        names, shown = list(dict.fromkeys(part["data"])), [p for p in colors if p in set(part["predictor"])]
        for k, predictor in enumerate(shown):
            for at, name in enumerate(names):
                values = part[(part["data"] == name) & (part["predictor"] == predictor)]["value"]
                x = at + (k - (len(shown) - 1) / 2) * 0.8 / len(shown)
                ax.bar(x, values.mean(), 0.72 / len(shown), color=colors[predictor])
                ax.plot([x] * len(values), values, "o", color="black", ms=2)
        if chance is not None:
            ax.axhline(chance, color="black", lw=0.8, ls="--")
        ax.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names], fontsize=8)
        ax.set_ylabel(label)
        if log:
            ax.set_yscale("log")
        ax.spines[["top", "right"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
    figure.legend(handles, colors, frameon=False, fontsize=7, ncols=4 if width > 8 else 2, loc="outside upper center")
    figure.savefig(path, dpi=150)
    plt.close(figure)
