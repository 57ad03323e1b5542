"""Default fits of real trajectories: `python -m benchmarks.trajectories [--only myoblasts ...] [--seeds 3] [--seed 0]`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data); the myoblasts ship with the package. One row per set
and seed: R2 of the mean trajectory, R2 on the other half of the cells and of that half smoothed, cosine of velocity and
change in the last fifth, edges, level of pruning, held-out errors beside null models and baselines, words of the verdict,
CPU seconds of the whole call (which include compiling where loops are not cached). Errors are those of the folds that have
chosen epochs and level: the other half of the cells, or every batch in turn where there are several. Every row is printed at once and kept in
runs.csv, which a run that is cut leaves whole; runs that are asked for again replace theirs. summary.csv has means and
the lowest and highest values over seeds, agreement.csv how far the networks of the seeds of one call agree, trajectories.png
is the figure.
"""

import argparse
from pathlib import Path

import pandas as pd
import scipy.sparse as sp

from benchmarks.trajectories.agreement import keep_agreement
from benchmarks.trajectories.data import HERE, SETS
from benchmarks.trajectories.figure import draw
from benchmarks.trajectories.row import run

FIGURES = ["course_r2", "other_half", "smoother", "last_fifth_cosine", "edges", "level", "error", "error_best_null",
           "error_mean_trajectory", "error_persistence", "cpu_seconds"]  # fmt: skip


def keep(path: Path, row: pd.DataFrame) -> pd.DataFrame:
    """Write a row among those of earlier runs, in the place of the one with the same set and seed."""
    runs = row
    if path.exists():
        runs = pd.concat([pd.read_csv(path), row]).drop_duplicates(["set", "seed"], keep="last")
    order = {name: k for k, name in enumerate(SETS)}
    runs = runs.sort_values(["set", "seed"], key=lambda column: column.map(order) if column.name == "set" else column)
    runs.to_csv(path, index=False, float_format="%.4g")
    return runs


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest value of every figure over the seeds of a set."""
    grouped = runs.groupby("set", sort=False)[FIGURES].agg(["mean", "min", "max"])
    grouped.columns = [f"{figure} {of}" for figure, of in grouped.columns]
    return grouped.assign(seeds=runs.groupby("set", sort=False).size()).reset_index()


def main() -> None:
    """Run the sets that are asked for and write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    import scdash

    scdash.settings.verbosity = 0
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "runs.csv"
    networks: dict[str, list[sp.csr_matrix]] = {name: [] for name in options.only}
    for seed in range(options.seed, options.seed + options.seeds):
        for name in options.only:
            figures, network = run(name, seed)
            row, found = pd.DataFrame([figures]), networks[name]
            runs = keep(file, row)
            found.append(network)
            if len(found) > 1:
                keep_agreement(options.out / "agreement.csv", name, found, list(SETS))
            print(row.T.to_string(header=False, float_format=lambda x: f"{x:.3f}"), flush=True)
            print(flush=True)
            draw(runs, options.out / "trajectories.png")
            summary(runs).to_csv(options.out / "summary.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
