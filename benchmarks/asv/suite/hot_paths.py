"""Hot paths: epochs of training, pruning, matching, networks and cells on disk; CPU seconds, as machines are shared.

Several axes of parameters are a tuple of lists: asv takes a list of tuples for axes, too.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from scdash.dynamics.whole_trajectories.start import regression_start
from scdash.fields import Params, Phoenix
from scdash.networks import strongest_effects
from scdash.regression import l1_path
from scdash.sparsity import Prior, as_sparsity, prune_to
from scdash.training import Examples, Problem, TrainConfig, run_epoch, start_state
from scdash.training.rollouts import GeneWise, Trajectories
from scdash.training.whole_trajectories import Trainer, WholeTrajectories


def _field(n: int, units: int, density: float) -> tuple[Phoenix, Params, Params]:
    generator = torch.Generator().manual_seed(0)
    field = Phoenix(n, encoder="modules", n_hidden=units)
    params = field.init(1, generator)
    for name in ("W_sums", "W_prods"):
        params[name] += 0.01 * torch.randn(params[name].shape, generator=generator)
    return field, *prune_to(field, params, 1 - density)


class Epoch:
    """One epoch of 5 batches of 28 pairs, dense and after pruning."""

    timer = time.process_time
    params = ([(350, 40), (2000, 100), (11165, 300)], ["dense", "5 % left"])
    param_names = ("genes, units", "way")
    timeout = 300

    def setup(self, size: tuple[int, int], way: str) -> None:
        """Make the state before an epoch."""
        field, params, masks = _field(*size, 0.999 if way == "dense" else 0.05)
        start, end = torch.rand(2, 140, size[0], generator=torch.Generator().manual_seed(1))
        examples = Examples(start, torch.tensor([[0.0, 1.0]]).repeat(140, 1), end[None])
        self.problem = Problem(field, as_sparsity("none"), examples, examples.of_models(slice(None)), TrainConfig())
        self.state = start_state(self.problem, params, masks)
        run_epoch(self.problem, self.state)

    def time_epoch(self, size: tuple[int, int], way: str) -> None:
        """Time an epoch."""
        run_epoch(self.problem, self.state)


class Step:
    """Steps of training on whole trajectories, as default fits of cells take them: 64 roll-outs of 20 states."""

    timer = time.process_time
    params = ([(500, 100), (2000, 150)], ["dense", "5 % left"])
    param_names = ("genes, regulators", "way")

    def setup(self, size: tuple[int, int], way: str) -> None:
        """Make a trainer that has trained for a step."""
        genes, regulators = size
        rng = np.random.default_rng(0)
        weights = np.zeros((genes, genes))
        weights[:, :regulators] = rng.normal(0, 0.1, (genes, regulators))
        model = GeneWise.of(weights, rng.random(genes), rng.uniform(0.1, 1, genes))
        paths = [np.cumsum(rng.normal(0, 0.03, (20, genes)), axis=0) + 0.5 for _ in range(8)]
        trajectories = Trajectories.of(paths, [np.linspace(0, 5, 20)] * 8)
        self.trainer = Trainer(model, trajectories, WholeTrajectories())
        if way != "dense":
            self.trainer.prune(rng.random(model.weights.nnz) < 0.05)
        self.trainer.train(1)

    def time_steps(self, size: tuple[int, int], way: str) -> None:
        """Time ten steps."""
        self.trainer.train(10)


class Start:
    """The regressions that a default fit of cells starts from."""

    timer = time.process_time

    def setup(self) -> None:
        """Make trajectories of 400 genes."""
        rng = np.random.default_rng(0)
        paths = [np.cumsum(rng.normal(0, 0.03, (20, 400)), axis=0) + 0.5 for _ in range(8)]
        self.trajectories = Trajectories.of(paths, [np.linspace(0, 5, 20)] * 8)

    def time_start(self) -> None:
        """Time the mean of all regressions with 100 regulators."""
        regression_start(self.trajectories, regulators=np.arange(100))


class Prune:
    """DASH's scores and masks."""

    timer = time.process_time
    params = ([(350, 40), (11165, 300)],)
    param_names = ("genes, units",)

    def setup(self, size: tuple[int, int]) -> None:
        """Make weights, masks and a sparse prior."""
        self.field, self.weights, self.masks = _field(*size, 0.1)
        rng = np.random.default_rng(0)
        prior = sp.random(size[0], size[0], 1.5 / size[0], rng=rng)
        self.prior, self.method = Prior(prior), as_sparsity("dash")
        self.memory = self.method.start(self.field, self.weights, torch.Generator().manual_seed(0))

    def time_prune(self, size: tuple[int, int]) -> None:
        """Time one pruning."""
        self.method.prune(self.field, self.weights, self.masks, self.memory, 0.1, self.prior)


class Network:
    """The network of a model whose pairs can not all be listed."""

    timer = time.process_time

    def setup(self) -> None:
        """Make a pruned model of 11,165 genes."""
        self.field, self.weights, _ = _field(11165, 300, 0.05)

    def time_strongest(self) -> None:
        """Time the extraction."""
        strongest_effects(self.field, self.weights)

    def peakmem_strongest(self) -> None:
        """Measure its memory."""
        strongest_effects(self.field, self.weights)


class Path_:
    """Paths of sparse regressions."""

    timer = time.process_time
    params = ([(350, 350), (400, 2500)],)
    param_names = ("regulators, targets",)

    def setup(self, size: tuple[int, int]) -> None:
        """Make standardised features of 150 rows."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((150, size[0])) / np.sqrt(150)
        y = x[:, rng.integers(size[0], size=size[1])] + 0.05 * rng.standard_normal((150, size[1]))
        self.problem: dict[str, Any] = {"gram": x.T @ x, "cross": x.T @ y}

    def time_path(self, size: tuple[int, int]) -> None:
        """Time eight penalties."""
        l1_path(lambdas=np.geomspace(0.6, 0.1, 8), max_active=30, **self.problem)


class Streaming:
    """Bins of sparse cells on disk."""

    timer = time.process_time
    params = [2000, 20_000]
    param_names = ("cells",)

    def setup(self, cells: int) -> None:
        """Write sparse log values of 500 genes."""
        import anndata as ad

        import scdash

        scdash.settings.verbosity = 0
        rng = np.random.default_rng(0)
        matrix = sp.random(cells, 500, 0.1, format="csr", dtype=np.float32, rng=rng)
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "cells.h5ad"
        adata = ad.AnnData(matrix)
        adata.obs["time"] = rng.random(cells)
        adata.write_h5ad(path)
        self.adata = ad.read_h5ad(path, backed="r")

    def teardown(self, cells: int) -> None:
        """Remove the file."""
        self.adata.file.close()
        self.folder.cleanup()

    def time_trajectories(self, cells: int) -> None:
        """Time the two passes over the file."""
        import scdash

        scdash.pp.trajectories(self.adata, time_key="time")
