"""How strongly DASH should believe CollecTRI, without a look at the bins of the test: `python -m benchmarks._hsmm_inner`.

The four held-out bins of `benchmarks.hsmm` are taken away with all their cells; of the other bins, four or five are held
out in turn (folds A and B). Writes hsmm_inner.csv: squared errors there, by strength of the prior in the first and in
the last layer. The package's own default (.5, .95) comes from simulations with a nearly perfect prior.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _hsmm_data as data
from benchmarks._hsmm_fits import PAPER

FOLDS = {"A": (2, 7, 12, 17, 22), "B": (6, 11, 16, 21)}
STRENGTHS = ((0.5, 0.95), (0.5, 0.5), (0.5, 0.2), (0.0, 0.0))


def inner_errors(fold: str, strengths: tuple[float, float], seed: int) -> dict[str, Any]:
    """Fit without the bins of the test and of the fold; return errors on the fold's."""
    import scdash

    scdash.settings.verbosity = 0
    adata = data.cells()
    held = FOLDS[fold]
    kept = [b for b in range(data.BINS) if b not in (*data.HELD_OUT, *held)]
    means, bins = data.plain_means(adata), data.training_bins(adata[~adata.obs["bin"].isin(held)].copy())
    settings = {"sparsity": scdash.sparsity.DASH(lambdas=strengths), **PAPER}
    scdash.tl.fit_dynamics(
        bins,
        prior=data.collectri(adata),
        rng=seed,
        progress=False,
        validation=scdash.Validation(null_models=False),
        **settings,
    )
    errors = {
        name: data.error(guess, means, held=held, kept=kept) for name, guess in data.predictions(bins, held).items()
    }
    metrics = bins.uns["dynamics"]["metrics"]
    constant = data.error(
        np.broadcast_to(means[kept].mean(0), (len(held), means.shape[1])), means, held=held, kept=kept
    )
    return {"fold": fold, "first": strengths[0], "last": strengths[1], "seed": seed,
            **{f"{name} 1e-3": round(1e3 * value, 1) for name, value in errors.items()},
            "constant 1e-3": round(1e3 * constant, 1), "genes without inputs": int(metrics["genes_without_inputs"])}  # fmt: skip


def main(out: Path, seeds: int) -> None:
    """Run what is not in the table yet, a row at a time."""
    done = {(row["fold"], float(row["first"]), float(row["last"]), int(row["seed"])) for row in read(out)}
    for seed in range(seeds):
        for strengths in STRENGTHS:
            for fold in FOLDS:
                if (fold, *strengths, seed) in done:
                    continue
                row = inner_errors(fold, strengths, seed)
                new = not out.exists()
                with out.open("a", newline="") as file:
                    writer = csv.DictWriter(file, list(row))
                    if new:
                        writer.writeheader()
                    writer.writerow(row)
                print(row, flush=True)


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows that are there."""
    return list(csv.DictReader(path.open())) if path.exists() else []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=data.HERE / "hsmm_inner.csv")
    given = parser.parse_args()
    main(given.out, given.seeds)
