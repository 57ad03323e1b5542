"""What influence costs: `python -m benchmarks.influence [--genes 529 11165] [--seconds 600]`, CPU seconds of one core.

Measured on models with random weights on a random 5 % of their places (DASH's density; gene-wise: 2 %), which needs no
data: 529 genes, 50 hidden units, as erythroid cells; 11,165 genes, 300 units, as breast cancer. K = 200 start states,
eleven times over a horizon of 10, as `tl.gene_influence` does by default. A run is stopped after the given seconds; the
time of all genes is then EXTRAPOLATED from those done, and said so. With `--checkpoint` finished blocks are kept and the
same call goes on from there.
"""

import argparse
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

HERE = Path(__file__).parent
HIDDEN = {529: 50, 11165: 300}
STARTS, DENSITY, GENE_WISE_DENSITY, HORIZON, LONG = 200, 0.05, 0.02, 10.0, 2000


class Enough(Exception):
    """The seconds given are over."""


def model(n_genes: int, n_hidden: int) -> Any:
    """Return a PHOENIX with random sparse weights and rates between 0 and 1; gene-wise without hidden units."""
    from scdash.fields import Phoenix
    from scdash.networks import DynamicsModel

    encoder: Literal["genes", "modules"] = "modules" if n_hidden else "genes"
    density = DENSITY if n_hidden else GENE_WISE_DENSITY
    field = Phoenix(n_genes, encoder=encoder, n_hidden=max(n_hidden, 1))
    generator = torch.Generator().manual_seed(0)
    params = field.init(1, generator)
    for name in ("W_sums", "W_prods", "U_sums", "U_prods"):
        if name in params:
            kept = torch.rand(params[name].shape, generator=generator) < density
            size = np.sqrt(n_hidden or density * n_genes)
            params[name] = torch.randn(params[name].shape, generator=generator) * kept / size
    if not n_hidden:
        params["U_sums"][:, range(n_genes), range(n_genes)] = 0
    return DynamicsModel(field, params, genes=np.array([f"G{i}" for i in range(n_genes)]))


def timed(n_genes: int, n_hidden: int, seconds: float, checkpoint: Path | None) -> list[dict[str, object]]:
    """Time as many genes as the seconds allow."""
    from scdash.networks.influences.influence import Perturbations, gene_influence

    fitted, rng = model(n_genes, n_hidden), np.random.default_rng(0)
    times = np.linspace(0, HORIZON, 11)
    design = Perturbations(rng.random((STARTS, n_genes)), rng.random((STARTS, n_genes)), times)
    began, marks = time.process_time(), []

    def progress(count: int) -> None:
        marks.append((time.process_time() - began, count))
        if marks[-1][0] > seconds:
            raise Enough

    store = None if checkpoint is None else checkpoint / f"influence_{n_genes}_{n_hidden}.npz"
    try:
        gene_influence(fitted, design, checkpoint=store, progress=progress)
    except Enough:
        pass
    # the first report comes after the choice of the step, before the first block: silent genes and resumed blocks
    (setup, before), done = marks[0], sum(count for _, count in marks)
    work = marks[-1][0] - setup
    kind = f"modules ({n_hidden})" if n_hidden else "genes"
    whole = setup + work * n_genes / max(done - before, 1)
    return [{"genes": n_genes, "encoder": kind, "done": done, "of them resumed": before,
             "CPU seconds": setup + work, "for all": whole}]  # fmt: skip


def main(sizes: list[int], seconds: float, out: Path, checkpoint: Path | None) -> None:
    """Time every size, print and write the table."""
    torch.set_num_threads(1)
    runs = [(n, HIDDEN.get(n, 50)) for n in sizes] + [(n, 0) for n in sizes if n <= LONG]
    table = pd.DataFrame([row for n, hidden in runs for row in timed(n, hidden, seconds, checkpoint)])
    print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    for row in table.to_dict("records"):
        how = "measured" if row["done"] == row["genes"] else f"EXTRAPOLATED from {row['done']} genes"
        print(f"n = {row['genes']}, {row['encoder']}: {row['for all'] / 3600:.2g} CPU hours, {row['for all']:.3g} s ({how}); "
              f"resumable by blocks with `checkpoint=`")  # fmt: skip
    table.to_csv(out / "influence.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genes", type=int, nargs="+", default=[529, 11165])
    parser.add_argument("--seconds", type=float, default=600, help="CPU seconds after which a size is stopped")
    parser.add_argument("--checkpoint", type=Path, help="folder that keeps finished blocks")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    main(given.genes, given.seconds, given.out, given.checkpoint)
