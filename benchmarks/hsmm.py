"""Myoblasts to myotubes, from fits to biology: `python -m benchmarks.hsmm`.

Needs the reference data (SCDASH_REFERENCE_DATA, default ../shared/data): CollecTRI and the gene sets. Writes
hsmm_errors.csv, hsmm_sets.csv (best sets by score), hsmm_known.csv, hsmm_knockouts.csv and hsmm.png beside this script.

The protocol is in `_hsmm_data.py`: 25 bins of pseudotime, bins 4, 9, 14 and 19 held out with all their cells. Nothing
is chosen by them. Every fit is reported, and every finding beside controls that know no dynamics: a prior with shuffled
labels, the prior's out-degree, the correlation of each gene with pseudotime. "DASH" is the paper's model (hidden units,
random start); "DASH gene-wise" is the package's default.
"""

import argparse
from itertools import product
from pathlib import Path

import joblib
import pandas as pd

from benchmarks import _hsmm_tables as tables
from benchmarks._hsmm_data import cells, plain_means, training_bins
from benchmarks._hsmm_fits import STRATEGIES, kept_fit

HERE = Path(__file__).parent
# figures of the issue, mean squared errors in units of the genes' ranges
WANTED = "wanted: next <= 60, from 0 <= 62 (trial: constant 79.9, no change 70, DASH 57.7 and 59)"
BEST = 3  # sets kept by score and collection


def main(seeds: int, n_starts: int, n_jobs: int, *, out: Path, cache: Path | None) -> None:
    """Run everything, write the tables, print them."""
    call = joblib.delayed(kept_fit)
    runs = product(range(seeds), STRATEGIES)
    report(joblib.Parallel(n_jobs=n_jobs, verbose=5)(call(name, seed, n_starts, cache) for seed, name in runs), out)


def report(results: tables.Results, out: Path) -> None:
    """Write and print the tables of finished fits."""
    import scdash

    scdash.settings.verbosity = 0
    adata = cells()
    errors = tables.error_table(results, training_bins(adata), plain_means(adata))
    errors = errors.assign(**{f"{name} 1e-3": errors.pop(name) * 1e3 for name in ("next", "from 0")})
    scores = tables.averaged(results, adata.var_names).join(tables.controls(adata))
    sets = tables.set_tables(scores, adata)
    known = tables.known_table(sets, tables.stability(results))
    knocked = tables.knockout_table(pd.concat([r["knockouts"] for r in results], ignore_index=True))
    best = sets.sort_values("p_value", kind="stable").groupby(["collection", "fit"], sort=False).head(BEST)
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in {"errors": errors, "sets": best, "known": known, "knockouts": knocked}.items():
        frame.to_csv(out / f"hsmm_{name}.csv", index=False, float_format="%.4g")
    picture(sets, out / "hsmm.png")
    tell(errors, known, knocked)
    print("\n" + tables.verdict(sets))


def tell(errors: pd.DataFrame, known: pd.DataFrame, knocked: pd.DataFrame) -> None:
    """Print the tables."""
    show = {"float_format": lambda x: f"{x:.3g}", "na_rep": ""}
    print(f"\nErrors on held-out bins (1e-3, units of the genes' ranges squared); {WANTED}")
    print(errors.to_string(index=False, **show))
    single = errors[errors["seed"].str.isdigit()]
    print("\nMean and spread over seeds")
    print(
        single.groupby("model", sort=False)[["next 1e-3", "from 0 1e-3", "cpu_seconds"]]
        .agg(["mean", "std"])
        .to_string(**show)
    )
    print(
        "\nGene sets: corrected p (Bonferroni) of known biology, sets at 5 %, agreement of seeds (top 20; chance 0.5)"
    )
    print(known.to_string(index=False, **show))
    print("\nKnock-outs: mean change of muscle genes at the end of the path, in ranges; rank among all regulators")
    print(knocked.to_string(index=False, **show))


def picture(table: pd.DataFrame, path: Path) -> None:
    """Draw the Hallmark sets by score, as the paper's Figure 7."""
    import matplotlib

    matplotlib.use("Agg")
    import scdash

    shown = [name for name in pd.unique(table["fit"]) if "| paper" in name or name.startswith(tables.CONTROL)]
    part = table[(table["collection"] == "Hallmark") & table["fit"].isin(shown) & ~table["fit"].str.contains("signed")]
    part = part.assign(fit=part["fit"].str.replace(" | paper", "").str.removeprefix(tables.CONTROL))
    figure = scdash.pl.pathways(part, n_top=4, return_fig=True, show=False)
    figure.savefig(path, dpi=150, bbox_inches="tight")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=10, help="start states K of the paper's influence (there 200)")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder that keeps finished fits, so that a run can go on")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    main(given.seeds, given.starts, given.jobs, out=given.out, cache=given.cache)
