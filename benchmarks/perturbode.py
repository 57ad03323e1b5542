"""Perturbation screens: edges and held-out perturbations of PerturbODE beside what a user would run instead.

`python -m benchmarks.perturbode` reads the reference screens from SCDASH_REFERENCE_DATA, computes the rows that are not
yet in networks.csv, paper.csv, held_out.csv, combinations.csv and memory.csv, and prints every table, the acceptance (goals.csv)
and perturbode.png. `--stored` prints without computing; `--again` computes anew. `--only dag mid yeast fresh combos
memory`, `--parts matching tuning transport baselines paper held_out`, `--methods ...`, `--folds 0 1 2 3 4` and `--seeds 3`
choose rows, so that they may be run a few at a time. Every run is a row; nothing is chosen with the truth. CPU seconds
are those of this process.
"""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks._perturbode_data import load, simulate
from benchmarks._perturbode_held_out import combination_jobs, held_out_jobs
from benchmarks._perturbode_jobs import Job, collect
from benchmarks._perturbode_memory import memory_jobs
from benchmarks._perturbode_networks import baseline_jobs, matching_jobs, prior_jobs, transport_jobs
from benchmarks._perturbode_paper import paper_jobs
from benchmarks._perturbode_tables import SHOWN, figure, goal_table, summary

PARTS = ("matching", "tuning", "transport", "baselines", "paper", "held_out")
SCREENS = ("dag", "mid", "yeast", "fresh", "combos", "memory")


def screen_jobs(name: str, options: argparse.Namespace) -> Iterator[Job]:
    """Yield the rows of a reference screen; what a single seed takes long for on 400 genes is left out."""
    source, seeds, small = partial(load, name), options.seeds, name != "yeast"
    parts = {
        "matching": lambda: matching_jobs(name, source, seeds),
        "baselines": lambda: baseline_jobs(name, source, seeds, slow=small),
        "transport": lambda: transport_jobs(name, source, seeds) if small else (),
        "tuning": lambda: prior_jobs(name, source, seeds) if small else (),
        "paper": lambda: paper_jobs(name, source, seeds, every=small),
        "held_out": lambda: held_out_jobs(name, source, options.folds, slow=small),
    }
    for part, jobs in parts.items():
        if part in options.parts:
            yield from jobs()


def fresh_jobs(seeds: int) -> Iterator[Job]:
    """Yield screens like dag100 that nothing was ever tried on."""
    for seed in range(1, seeds + 1):
        for half in ("mean", "mid"):
            source, label = partial(simulate, seed, half), f"fresh {half} {seed}"
            yield from matching_jobs(label, source, 1)
            yield from baseline_jobs(label, source, 1, slow=False)


def all_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Yield the rows that the options choose."""
    others = {
        "fresh": lambda: fresh_jobs(options.seeds),
        "combos": lambda: combination_jobs(options.seeds),
        "memory": memory_jobs,
    }
    for name in options.only:
        for job in others[name]() if name in others else screen_jobs(name, options):
            if options.methods is None or job.method in options.methods:
                yield job


def main() -> None:
    """Run the benchmark; every row is written at once, so that an interrupted run keeps its rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(SCREENS), choices=SCREENS)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--methods", nargs="*", help="names of methods as in the tables; default all")
    parser.add_argument("--folds", nargs="*", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks") / "results" / "perturbode")
    parser.add_argument("--stored", action="store_true", help="print the rows there are, compute none")
    parser.add_argument("--again", action="store_true", help="compute rows anew that are there")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.stored:
        collect(options.out, all_jobs(options), again=options.again)
    pd.set_option("display.width", 200, "display.max_rows", None)
    for table in SHOWN:
        print(f"\n{table}: mean (SD) over runs\n{summary(options.out, table).to_string()}")
    summary(options.out, "paper").to_csv(options.out / "paper_summary.csv")
    goals = goal_table(options.out)
    goals.to_csv(options.out / "goals.csv", index=False, float_format="%.4g")
    print(f"\nacceptance\n{goals.to_string(index=False)}")
    figure(options.out)


if __name__ == "__main__":
    main()
