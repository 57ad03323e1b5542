"""From cells to a pruned model of dynamics and its network, on the 228 myoblasts that ship with scdash.

Run by `make demo`; writes `demo/hsmm.h5ad` and PNG figures.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import scanpy as sc

import scdash

MUSCLE = ["MYOG", "MEF2C", "MYH3", "TNNT2", "ACTC1", "CDK1", "CCNB2", "ID1"]


def main(out: Path) -> None:
    """Run the workflow and leave its results in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    adata = scdash.datasets.hsmm()
    scdash.pp.order_cells(adata, root=("hours", 0), key_added="dpt_pseudotime")
    sc.pp.pca(adata)
    scdash.tl.fit_dynamics(adata, prior=scdash.datasets.myogenic_prior(), regulators="is_tf", progress=True)
    draw(adata, out)
    adata.write_h5ad(out / "hsmm.h5ad")
    tell(adata, out)


def draw(adata: sc.AnnData, out: Path) -> None:
    """Draw what was learned."""
    shown = [gene for gene in MUSCLE if gene in adata.var_names]
    figures = {
        "trends": lambda: scdash.pl.trends(adata, shown, return_fig=True, show=False),
        "network": lambda: scdash.pl.network(adata, return_fig=True, show=False),
        "effects": lambda: scdash.pl.effects(adata, return_fig=True, show=False),
        "velocity": lambda: scdash.pl.velocity(adata, basis="pca", color="dpt_pseudotime", return_fig=True, show=False),
    }
    if len(scdash.get.history(adata)):  # empty where no training was asked for
        figures["history"] = lambda: scdash.pl.history(adata, return_fig=True, show=False)
    for name, make in figures.items():
        figure = make()
        figure.savefig(out / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close(figure)


def tell(adata: sc.AnnData, out: Path) -> None:
    """Print what was learned, and what was not."""
    edges = scdash.get.grn(adata, only_network=True)
    report = scdash.get.report(adata)
    print("\n=== What was learned ===")
    top = edges.assign(size=edges["weight"].abs()).groupby("source")["size"].agg(["sum", "count"])
    print("Top regulators (summed absolute effect, number of targets):")
    for gene, row in top.sort_values("sum", ascending=False).head(8).iterrows():
        print(f"  {gene:10s} {row['sum']:6.2f} {int(row['count']):4d}")
    # in words the fit has logged it already: report.attrs["summary"]
    print("\nErrors beside the trivial predictors:")
    print(report.to_string(index=False, float_format=lambda x: f"{x:.4f}"))
    change = scdash.tl.perturb(adata, "MYOG").uns["change"]
    print("\nPredicted effect of a MYOG knockout (largest changes, log units):")
    print(change[~change["held"]].head(6)[["gene", "change"]].to_string(index=False))
    print(
        "\n=== What these data can and cannot show ===\n"
        "228 cells of one experiment, ordered by similarity: they show which genes rise and fall together along the way\n"
        "from myoblast to myotube, and whether a model can carry an early state forward. They cannot show cause: there is\n"
        "no perturbation, no second batch, and pseudotime is made from the same expression values. Where 'no network'\n"
        "predicts as well as the model, the edges above are ranked hypotheses, the more so where they come from the prior."
    )
    print(f"\nWritten: {out}/hsmm.h5ad and {len(list(out.glob('*.png')))} figures.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    main(parser.parse_args().out)
