"""Perturbation screens: edges and held-out regimes of PerturbODE beside what a user would run instead.

`python -m benchmarks.perturbode [--only dag mid yeast fresh combos memory] [--parts matching tuning transport baselines
held_out] [--ways ...] [--folds 0 1 2 3 4] [--seeds 3] [--out DIR]` reads the reference screens from SCDASH_REFERENCE_DATA and writes
networks.csv, held_out.csv, combinations.csv, memory.csv, goals.csv and perturbode.png. A row replaces the older row of
the same data, method and seed (or fold), so that parts may be run one at a time. Every run is a row; nothing is chosen
with the truth. CPU seconds are those of this process.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._perturbode_data import collect, load, simulate
from benchmarks._perturbode_held_out import combination_rows, held_out_rows
from benchmarks._perturbode_memory import memory_rows
from benchmarks._perturbode_networks import baseline_rows, matching_rows, transport_rows, tuning_rows

PARTS = ("matching", "tuning", "transport", "baselines", "held_out")
MATCHING, TRANSPORT = "equilibrium matching", "transport, mean loss"
# (table, data, method, column, goal, whether more is better)
GOALS = (
    ("networks", "dag", MATCHING, "auprc_signed", 0.57, True),
    ("networks", "mid", MATCHING, "auprc_signed", 0.84, True),
    ("networks", "yeast", MATCHING, "auprc_signed", 0.58, True),
    ("networks", "mid", TRANSPORT, "auprc_signed", 0.35, True),
    ("networks", "mid", TRANSPORT, "cpu_s", 180.0, False),
    ("networks", "dag", MATCHING, "cpu_s", 30.0, False),  # 15 s on 2 cores
    ("networks", "yeast", MATCHING, "cpu_s", 180.0, False),  # 90 s on 2 cores
    ("held_out", "dag", MATCHING, "wr2", 0.6, True),
    ("held_out", "mid", MATCHING, "wr2", 0.8, True),
    ("held_out", "yeast", MATCHING, "wr2", 0.0, True),
)


def goal_table(out: Path) -> pd.DataFrame:
    """Return every goal with the mean, the spread and the number of runs."""
    rows = []
    for table, data, method, column, goal, more in GOALS:
        path = out / f"{table}.csv"
        found = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "method", column])
        values = found.loc[(found["data"] == data) & (found["method"] == method), column].astype(float)
        mean = float(values.mean())
        met = bool(mean >= goal if more else mean <= goal)
        rows.append((table, data, method, column, goal, mean, float(values.std(ddof=0)), len(values), met))
    return pd.DataFrame(rows, columns=["table", "data", "method", "column", "goal", "mean", "sd", "runs", "met"])


def figure(out: Path) -> None:
    """Draw signed AUPRC and held-out wR2 of every method; dots are runs, the dashed line is the goal."""
    from matplotlib.figure import Figure

    networks, held = pd.read_csv(out / "networks.csv"), pd.read_csv(out / "held_out.csv")
    plots = [(networks, "auprc_signed", "signed AUPRC"), (held, "wr2", "wR2 of held-out regimes (cut at -1)")]
    drawn = Figure(figsize=(13, 9), layout="constrained")
    axes = drawn.subplots(2, 3, squeeze=False, height_ratios=(2, 1))
    for i, (table, column, label) in enumerate(plots):
        for ax, name in zip(axes[i], ("dag", "mid", "yeast"), strict=True):
            part = table[table["data"] == name]
            mean = part.groupby("method")[column].mean().sort_values(ascending=False)
            for j, method in enumerate(mean.index):
                values = part.loc[part["method"] == method, column].clip(lower=-1)
                ax.plot(values, np.full(len(values), j), "o", color="C0", alpha=0.6)
            ax.set_yticks(range(len(mean)), mean.index, fontsize=7)
            ax.invert_yaxis()
            ax.set_title(name)
            ax.set_xlabel(label)
            goal = next(g[4] for g in GOALS if g[1] == name and g[3] == column)
            ax.axvline(goal, linestyle="--", color="grey")
    drawn.savefig(out / "perturbode.png", dpi=120)


def _screen(name: str, options: argparse.Namespace) -> None:
    x, screen, truth = load(name)
    networks, seeds, small = options.out / "networks.csv", options.seeds, name != "yeast"
    keys = ("data", "method", "seed")
    if "matching" in options.parts:
        collect(networks, matching_rows(name, x, screen, truth, seeds), keys)
    if "tuning" in options.parts:
        collect(networks, tuning_rows(name, x, screen, truth, seeds if small else 1), keys)
    if "transport" in options.parts:
        collect(networks, transport_rows(name, x, screen, truth, seeds if small else 1, options.ways), keys)
    if "baselines" in options.parts:
        collect(networks, baseline_rows(name, x, screen, truth, seeds, slow=small), keys)
    if "held_out" in options.parts:
        rows = held_out_rows(name, x, screen, options.folds, slow=small)
        collect(options.out / "held_out.csv", rows, ("data", "method", "fold"))


def main() -> None:
    """Run the benchmark; every row is written at once, so that an interrupted run keeps its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["dag", "mid", "yeast", "fresh", "combos", "memory"])
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--folds", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--ways", nargs="*", help="which rows of the transport part; default all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks") / "results" / "perturbode")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    keys = ("data", "method", "seed")
    for name in options.only:
        if name == "fresh":
            for seed in range(1, options.seeds + 1):
                for half in ("mean", "mid"):
                    label, made = f"fresh {half} {seed}", simulate(seed, half)
                    collect(options.out / "networks.csv", matching_rows(label, *made, 1), keys)
                    collect(options.out / "networks.csv", baseline_rows(label, *made, 1, slow=False), keys)
        elif name == "combos":
            collect(options.out / "combinations.csv", combination_rows(options.seeds), ("data", "method", "fold"))
        elif name == "memory":
            collect(options.out / "memory.csv", memory_rows(), ("fit", "regimes", "cells", "genes"))
        else:
            _screen(name, options)
    goals = goal_table(options.out)
    goals.to_csv(options.out / "goals.csv", index=False, float_format="%.4g")
    print(goals.to_string(index=False))
    if (options.out / "held_out.csv").exists():
        figure(options.out)


if __name__ == "__main__":
    main()
