"""What influence costs: `python -m benchmarks.influence [--genes 529 11165]`, CPU seconds of one core.

Measured on models with random weights on a random 5 % of their places (DASH's density), which needs no data: 529 genes,
50 hidden units, as erythroid cells; 11,165 genes, 300 units, as breast cancer. K = 200 start states, eleven times over
a horizon of 10, as `tl.gene_influence` does by default. Where all genes would take long, one block of them is timed and
the time of all EXTRAPOLATED from it, and said so; `method="local"` is timed beside, whole or by probe likewise.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

HERE = Path(__file__).parent
HIDDEN = {529: 50, 11165: 300}
STARTS, DENSITY, HORIZON, LONG = 200, 0.05, 10.0, 2000


def model(n_genes: int, n_hidden: int) -> object:
    """Return a PHOENIX with random sparse weights and rates between 0 and 1."""
    from scdash.fields import Phoenix
    from scdash.networks import DynamicsModel

    field = Phoenix(n_genes, encoder="modules", n_hidden=n_hidden)
    generator = torch.Generator().manual_seed(0)
    params = field.init(1, generator)
    for name in ("W_sums", "W_prods", "U_sums", "U_prods"):
        kept = torch.rand(params[name].shape, generator=generator) < DENSITY
        params[name] = torch.randn(params[name].shape, generator=generator) * kept / np.sqrt(n_hidden)
    return DynamicsModel(field, params, genes=np.array([f"G{i}" for i in range(n_genes)]))


def timed(n_genes: int, block: int) -> list[dict[str, object]]:
    """Time finite differences for some or all genes, and the probes of the local method."""
    from scdash.networks._influence import Perturbations, gene_influence
    from scdash.networks._influence_local import local_influence

    fitted, rng = model(n_genes, HIDDEN.get(n_genes, 50)), np.random.default_rng(0)
    times = np.linspace(0, HORIZON, 11)
    design = Perturbations(rng.random((STARTS, n_genes)), rng.random((STARTS, n_genes)), times)
    chosen = np.arange(n_genes) if n_genes <= LONG else np.arange(block)
    marks = [time.process_time()]  # the first report comes after the choice of the step, before the first block
    found = gene_influence(fitted, design, genes=chosen, progress=lambda _: marks.append(time.process_time()))
    setup, work = marks[1] - marks[0], time.process_time() - marks[1]
    rows = [{"genes": n_genes, "method": "finite", "measured": f"{len(chosen)} genes", "CPU seconds": setup + work,
             "for all": setup + work * n_genes / len(chosen), "rk4 steps a time": found.steps}]  # fmt: skip
    starts, probes = (STARTS, 16) if n_genes <= LONG else (20, 2)
    began = time.process_time()
    local = local_influence(fitted, design.starts[:starts], times, n_probes=probes)
    seconds = time.process_time() - began
    # as many sign probes as Cauchy ones, and at least 2 x times / starts; plus one pass for the signed sum
    passes = {p: p + max(p, -(-2 * 10 // starts)) + 1 for p in (probes, 16)}
    rows.append({"genes": n_genes, "method": "local", "measured": f"{probes} probes, {starts} starts", "CPU seconds": seconds,
                 "for all": seconds * passes[16] / passes[probes] * 20 / starts if n_genes > LONG else seconds,
                 "rk4 steps a time": local.steps})  # fmt: skip
    return rows


def main(sizes: list[int], block: int, out: Path) -> None:
    """Time every size, print and write the table."""
    torch.set_num_threads(1)
    table = pd.DataFrame([row for n in sizes for row in timed(n, block)])
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    for row in table[table["method"] == "finite"].to_dict("records"):
        how = "measured" if row["genes"] <= LONG else f"EXTRAPOLATED from {row['measured']}"
        print(f"n = {row['genes']}: {row['for all'] / 3600:.2g} CPU hours, {row['for all']:.3g} s ({how}); "
              f"resumable by blocks with `checkpoint=`")  # fmt: skip
    table.to_csv(out / "influence.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genes", type=int, nargs="+", default=[529, 11165])
    parser.add_argument("--block", type=int, default=4, help="genes timed where there are more than 2,000")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    main(given.genes, given.block, given.out)
