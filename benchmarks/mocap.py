"""Motion capture, subject 35 walking: `python -m benchmarks.mocap [--rows node sonode longer pathreg l0 cnode] [--seeds 3]`.

Table 3 of the PathReg paper on other data of the same source: its 93 joint positions (walking, waving, golf) are not
available, and its figures are in an appendix that is not, either. Needs the reference data (SCDASH_REFERENCE_DATA, default
../shared/data). Writes results/mocap/runs.csv (every run), summary.csv and mocap.png.

23 sequences of 300 frames x 50 channels (joint angles), 16 for training, 3 for validation, 4 for test: a first- and a
second-order neural ODE, and the second-order one with PathReg, L0 and C-NODE. A model sees the first three frames of a
sequence and predicts the other 297 from the third. The error is the mean square over frames and channels in the units of
the data; the figures printed beside it are of papers on latent-variable models.

The recipe of `fit_dynamics` for states (batches of 4 pairs, 4 steps of a solver a pair) takes 40 s an epoch here: there are
4,784 pairs, so 1,196 small batches. One step of 3 frames is exact enough (a step of walking takes 137 frames), and models are
trained in stages, on windows of 12, 45, 150 and 270 frames: a second-order model that begins with long windows diverges and
learns no more than the mean frame, one that has seen short ones alone diverges when it is rolled out. Penalties go from the
model of the third stage up a ladder of strengths, chosen by the validation sequences as in `fit_dynamics`; then all weights
that are left are trained on windows of 270 frames. That is more training: `longer` is the model without a penalty after as
many epochs. Stages and rates were chosen by validation sequences (seeds 0 and 1 of the
dense models), while test errors were in view.
"""

import functools
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks._rows import PUBLISHED, Row, bars, main, reference

SEEN = 3  # frames of a test sequence that a model is given
HIDDEN = (64, 64)
UNIT, DURATION = 30.0, 3.0  # of a channel, and of time (in the units of the data) in what is trained
THIN = 3  # frames of one step
SEQUENCES, FRAMES = 23, 300
TRAIN, TEST, WEIGHTS, CPU = (
    "MSE of training sequences",
    "test MSE after 3 frames",
    "share of weights that are 0",
    "CPU seconds",
)
PAIRS = "share of pairs of channels without an effect"
NAME = "mocap 35"
MEMORY = "quoted in the data's README from memory"
PAPERS = {"Neural ODE": 22.5, "ODE2VAE-KL": 8.1, "latent ODE": 6.0, "latent SDE": 4.0}
METHODS = {
    "node": "NODE",
    "sonode": "SONODE",
    "longer": "SONODE, trained as long as with a penalty",
    "pathreg": "SONODE, PathReg",
    "l0": "SONODE, L0",
    "cnode": "SONODE, C-NODE",
}
COLORS = {
    "NODE": "#CCCCCC",
    "SONODE": "#E69F00",
    "SONODE, trained as long as with a penalty": "#F0C878",
    "SONODE, PathReg": "#0072B2",
    "SONODE, L0": "#56B4E9",
    "SONODE, C-NODE": "#009E73",
    "mean frame": "#999999",
    "third frame": "#666666",
}


class Stage(NamedTuple):
    """Windows of `steps` steps from every `stride`-th frame, and how long they are trained on."""

    steps: int
    stride: int
    batch_size: int
    max_epochs: int
    learning_rate: float = 3e-3
    decay: float = 0.95

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of training; the last epoch is kept only if it is the best one."""
        given = self._asdict() | {"window": self.steps, "steps": 1, "plateau": None, "patience": self.max_epochs}
        del given["stride"]
        return given


BEGIN = (Stage(4, 3, 256, 10), Stage(15, 5, 128, 20))
# windows of 150 frames and of 270; larger rates throw the first-order model off, smaller ones leave the other behind
LONG = {
    "mlp": (Stage(50, 10, 64, 25, 1.5e-3), Stage(90, 6, 32, 20, 1e-3, 0.93)),
    "sonode": (Stage(50, 10, 64, 25, decay=0.97), Stage(90, 6, 32, 20, 2e-3, 0.93)),
}
STRENGTH = Stage(30, 6, 64, 20, 2e-3)
AS_LONG = 12  # a dense stage, ten strengths and one with what is left


@functools.cache
def load() -> tuple[dict[str, NDArray[np.float64]], Any]:
    """Return the sequences of each split, (sequences, frames, channels), and the same as a series."""
    import anndata

    from scdash._data import series_from_states

    adata = anndata.read_h5ad(reference() / "mocap35" / "mocap35.h5ad")
    split = adata.obs["split"].astype(str).replace({"val": "validation"})
    states = np.asarray(adata.X, dtype=np.float64)
    series = series_from_states(states / UNIT, adata.var_names, adata.obs["time"], adata.obs["sequence"], split)
    states, split = states.reshape(SEQUENCES, FRAMES, -1), split.to_numpy().reshape(SEQUENCES, FRAMES)[:, 0]
    return {name: states[split == name] for name in np.unique(split)}, series


def windows(split: str, stage: Stage) -> Any:
    """Return the windows of a stage; of validation sequences, where windows are long, the whole sequences."""
    import torch

    from scdash.training import Examples

    sequences = load()[0][split] / UNIT
    steps = stage.steps if split == "train" or stage.steps < 2 * BEGIN[1].steps else (FRAMES - 1) // THIN
    starts = range(0, FRAMES - steps * THIN, stage.stride)
    states = np.concatenate([sequences[:, k : k + steps * THIN + 1 : THIN] for k in starts])
    path = torch.as_tensor(states, dtype=torch.float32)
    times = torch.arange(steps + 1) * (0.1 * THIN / DURATION)
    return Examples(path[:, 0], times.expand(len(path), -1), path[:, 1:].transpose(0, 1).contiguous())


def arguments(name: str, stage: Stage, seed: int, sparsity: str = "none") -> dict[str, Any]:
    """Return what the functions that train share."""
    from scdash.dynamics.options import FitOptions, recipe
    from scdash.dynamics.problem import FitProblem

    options = FitOptions(
        model=name, sparsity=sparsity, start="random", seed=seed, progress=False, device="cpu", training=stage.settings
    )
    problem = FitProblem(load()[1])
    examples = {"train_examples": windows("train", stage), "held_examples": windows("validation", stage)}
    return {"problem": problem, "options": options, "plan": recipe(options)} | examples


def trained(field: Any, params: Any, masks: Any, stage: Stage, seed: int) -> Any:
    """Return the model after one more stage without a penalty."""
    from scdash.dynamics.state_pairs.train import train_models
    from scdash.sparsity import as_sparsity

    given = arguments(field.name, stage, seed)
    return train_models(
        field=field, params=params, masks=masks, sparsity=as_sparsity("none"), prior=None, returnable_from=0, **given
    )


@functools.cache
def dense(name: str, seed: int) -> tuple[Any, Any, float]:
    """Return the field, its weights after the stages of short windows, and the CPU seconds."""
    from scdash.dynamics.options import FitOptions
    from scdash.dynamics.state_pairs.start import random_start
    from scdash.fields import Mlp, Sonode

    began = time.process_time()
    kind: type[Mlp] | type[Sonode] = Mlp if name == "mlp" else Sonode
    field = kind(load()[1].states.shape[1], hidden=HIDDEN)
    params = random_start(field, FitOptions(model=name, sparsity="none", seed=seed))
    for stage in (*BEGIN, LONG[name][0]):
        params = trained(field, params, {}, stage, seed).params
    return field, params, time.process_time() - began


def fit(method: str, seed: int) -> Iterator[Row]:
    """Yield errors, zeros and time of one method."""
    from scdash.dynamics.state_pairs.penalised import fit_penalised
    from scdash.dynamics.state_pairs.strategy import build_sparsity
    from scdash.fields import zero_fraction
    from scdash.networks import feature_sparsity

    predictor, penalised = METHODS[method], method in ("pathreg", "l0", "cnode")
    field, params, seconds = dense("mlp" if method == "node" else "sonode", seed)
    began, masks = time.process_time(), dict[str, Any]()
    if penalised:
        given = arguments(field.name, STRENGTH, seed, method)
        sparsity = build_sparsity(given["options"], given["plan"])
        sparse, table = fit_penalised(field=field, params=params, masks=masks, method=sparsity, **given)
        print(table.to_string(index=False))
        params, masks = {name: sparse.params[name] for name in params}, sparse.masks
    if method == "longer":
        for _ in range(AS_LONG):  # each strength of the ladder begins at the full rate, too
            params = trained(field, params, masks, STRENGTH, seed).params
    params = trained(field, params, masks, LONG[field.name][1], seed).params
    yield Row(NAME, CPU, predictor, seed, seconds + time.process_time() - began)
    for measure, split in ((TRAIN, "train"), (TEST, "test")):
        yield Row(NAME, measure, predictor, seed, error_of(split, predicted(field, params, split)))
    yield Row(NAME, WEIGHTS, predictor, seed, float(zero_fraction(field, params)))
    yield Row(NAME, PAIRS, predictor, seed, float(feature_sparsity(field, params)))


def predicted(field: Any, params: Any, split: str) -> NDArray[np.float64]:
    """Return the frames after the third of every sequence, predicted from it; a step of the solver is one frame."""
    import torch

    from scdash.solve import integrate

    start = torch.as_tensor(load()[0][split][None, :, SEEN - 1] / UNIT, dtype=torch.float32)
    times = torch.arange(FRAMES - SEEN + 1) * (0.1 / DURATION)
    with torch.no_grad():
        path = integrate(field.bind(params), field.lift(params, start), times, steps=1)
        return np.asarray(field.observe(params, path[1:])[:, 0].swapaxes(0, 1), dtype=np.float64) * UNIT


def error_of(split: str, frames: NDArray[np.float64]) -> float:
    """Return the mean squared error of the frames after the third."""
    return float(np.mean((frames - load()[0][split][:, SEEN:]) ** 2))


def trivial() -> Iterator[Row]:
    """Yield the mean frame of the training sequences, the third frame for ever, and what papers say."""
    sequences = load()[0]
    for measure, split in ((TRAIN, "train"), (TEST, "test")):
        yield Row(NAME, measure, "mean frame", PUBLISHED, error_of(split, sequences["train"].mean((0, 1))))
        yield Row(NAME, measure, "third frame", PUBLISHED, error_of(split, sequences[split][:, [SEEN - 1]]))
    for predictor, value in PAPERS.items():
        yield Row(NAME, TEST, f"{predictor} ({MEMORY})", PUBLISHED, value)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Draw errors and zeros."""
    bars(
        runs,
        path,
        {TEST: TEST, WEIGHTS: "share of weights\nthat are 0", PAIRS: "share of pairs of channels\nwithout an effect"},
        COLORS,
    )


if __name__ == "__main__":
    rows = {method: partial(fit, method) for method in METHODS}
    main("mocap", __doc__, rows, trivial(), draw)
