"""L0, C-NODE and PathReg on the paper's PHOENIX for SIM350, as `fit_dynamics` fits them where no strength is given."""

import pandas as pd

from benchmarks._sim350_paper import judge, load, stacked_examples
from scdash.dynamics.options import FitOptions, recipe
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.penalised import fit_penalised
from scdash.dynamics.state_pairs.start import random_start
from scdash.dynamics.state_pairs.strategy import build_sparsity
from scdash.fields import Phoenix
from scdash.networks import feature_sparsity, weight_sparsity

MAX_EPOCHS = 150  # of the dense stage and of the last one; every strength in between has 500 steps


def run_gates(noise: float, moved: float, method: str, seed: int) -> pd.DataFrame:
    """Train `method` on one noise seed, its strength chosen by the validation trajectories; return its row.

    The prior has no part in these methods; `moved` names the data set alone. `epochs` counts all stages, as all have to be
    paid for, up to the epoch that was kept.
    """
    series, _, truth = load(noise, moved, seed)
    field = Phoenix(350, encoder="modules")
    options = FitOptions(
        sparsity=method,
        encoder="modules",
        start="random",
        seed=seed,
        progress=False,
        device="cpu",
        training={"max_epochs": MAX_EPOCHS, "batch_size": 28},
    )
    plan, start = recipe(options), random_start(field, options)
    trained, table = fit_penalised(FitProblem(series), options, plan, field, start, {}, build_sparsity(options, plan))
    row = judge(field, trained, truth, stacked_examples([series], "test"), plan.config)
    chosen = table.loc[table["chosen"]].filter(like="lambda").iloc[0]
    return row.assign(
        strategy=method,
        noise=noise,
        moved=moved,
        seed=seed,
        feature_sparsity=feature_sparsity(field, trained.params).numpy(),
        weight_sparsity=weight_sparsity(field, trained.params).numpy(),
        validation_mse=trained.validation_loss,
        strength=" ".join(f"{value:.3g}" for value in chosen),
        strengths_tried=len(table),
    )
