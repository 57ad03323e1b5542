"""Many networks: folds or repeats, cut into stacks that fit in memory, spread over whatever joblib is set up with."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import progress_bar
from scdash._core.parallel import resolve_device, spread_all, workers
from scdash._core.random_streams import RNG, as_generator
from scdash.paired.five_stages import Networks, Trainer
from scdash.paired.layers import Dense
from scdash.paired.result import BottleneckFit
from scdash.paired.schedule import BottleneckTraining
from scdash.paired.standardize import Scale, Standardize
from scdash.resampling.folds import Fold

STACK_BYTES = 2 * 2**30  # what the weights and standardised inputs of one stack may take


def fit_networks(
    matrix: Any,  # cells by genes, log expression, dense or CSR; shared
    y: NDArray[np.float64],  # cells by features, NaN where missing
    folds: Sequence[Fold],  # training and test cells of each network
    *,
    n_latent: int = 2,
    n_features: int = 25,
    schedule: BottleneckTraining | None = None,  # constants; None for the paper's
    standardize: Standardize = "train",  # see `learn_scale`
    autoencoder: bool = True,  # train the head that draws gene expression
    rng: RNG = 0,  # seed or Generator
    device: str = "auto",  # "auto" (CUDA where there is one), "cpu" or "cuda"
    progress: bool | None = None,  # show a progress bar; None: for verbosity 2 or more
    description: str = "sBNN",  # text before the bar
) -> list[BottleneckFit]:
    """Train one network a fold, in stacks; each has its own random stream, so that stacking changes only rounding.

    `with joblib.parallel_config("loky", n_jobs=...)` around the call spreads the stacks over processes or a cluster.

    `n_latent`, `n_features`: units of the bottleneck; genes kept.
    """
    schedule = (schedule or BottleneckTraining()).for_cells(max(len(fold.train) for fold in folds))
    streams = np.random.default_rng(int(as_generator(rng).integers(2**63 - 1))).spawn(len(folds))
    processes = workers()
    size = _stack_size(matrix, y, len(folds), schedule, processes)
    starts = range(0, len(folds), size)
    epochs = schedule.total_epochs - (0 if autoencoder else schedule.autoencoder_epochs)
    options: dict[str, Any] = {
        "n_latent": n_latent,
        "n_features": n_features,
        "schedule": schedule,
        "standardize": standardize,
    }
    options |= {"autoencoder": autoencoder, "device": resolve_device(device)}
    if processes > 1 and len(starts) > 1:
        jobs = [(matrix, y, folds[i : i + size], streams[i : i + size]) for i in starts]
        stacks = spread_all(partial(_fit_stack, **options), jobs, description, progress=progress)
        return [fit for stack in stacks for fit in stack]
    with progress_bar(epochs * len(starts), description, progress=progress) as bar:
        return [
            fit
            for i in starts
            for fit in _fit_stack(matrix, y, folds[i : i + size], streams[i : i + size], bar=bar, **options)
        ]


def _fit_stack(
    matrix: Any,
    y: NDArray[np.float64],
    folds: Sequence[Fold],
    streams: Sequence[np.random.Generator],
    *,
    autoencoder: bool,
    **options: Any,
) -> list[BottleneckFit]:
    trainer = Trainer(matrix, y, folds, streams, **options)
    return unstack(trainer.fit(autoencoder=autoencoder), folds, trainer.x_scales, trainer.y_scales)


def unstack(
    networks: Networks, folds: Sequence[Fold], x_scales: Sequence[Scale], y_scales: Sequence[Scale]
) -> list[BottleneckFit]:
    """Cut stacked networks into single ones."""
    assert networks.selected is not None and networks.norms is not None
    history = pd.DataFrame(networks.history)
    columns = ["model", "epoch", "stage", "train_loss", "validation_loss", "train_r2", "test_r2"]
    history = history.reindex(columns=columns)
    heads = {"encoder": networks.encoder, "features": networks.features, "genes": networks.genes or []}
    fits = []
    for r, fold in enumerate(folds):
        selected = networks.selected[r].cpu().numpy().astype(np.int64)
        fits.append(
            BottleneckFit(
                fold,
                selected,
                networks.norms[r].cpu().numpy(),
                _arrays(heads, r),
                Scale(x_scales[r].mean[selected], x_scales[r].scale[selected]),
                y_scales[r],
                history[history["model"] == fold.name].reset_index(drop=True),
            )
        )
    return fits


def _arrays(heads: dict[str, list[Dense]], r: int) -> dict[str, NDArray[np.float32]]:
    arrays = {}
    for head, layers in heads.items():
        for k, layer in enumerate(layers):
            arrays[f"{head}_{k}_weight"] = layer.weight[r].cpu().numpy().copy()
            arrays[f"{head}_{k}_bias"] = layer.bias[r, 0].cpu().numpy().copy()
    return arrays


def _stack_size(matrix: Any, y: NDArray[np.float64], folds: int, schedule: BottleneckTraining, workers: int) -> int:
    """Models trained together: all, unless memory or the number of workers asks for fewer."""
    cells, genes = matrix.shape
    held = 6 * genes * schedule.hidden[0]  # weights, best weights, gradients, two moments, and one to spare
    held += cells * (schedule.hidden[schedule.n_frozen > 1] + y.shape[1] + genes)
    return max(1, min(STACK_BYTES // int(4 * held), -(-folds // workers)))
