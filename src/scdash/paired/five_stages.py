"""The five stages of a sparse bottleneck network on stacked models: folds, repeats or just one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.paired.layers import Dense, cross_entropy, glorot, group_norms, mean_squares
from scdash.paired.schedule import BottleneckTraining
from scdash.paired.stacked_inputs import Inputs, Table, Targets, pretrain_labels, split_cells
from scdash.paired.stage import RowSource, Stage, evaluate, pad, run_stage
from scdash.paired.standardize import Standardize, learn_scale
from scdash.resampling.folds import Fold


@dataclass
class Networks:
    """Stacked networks and what was learned on the way; lists of layers run from input to output."""

    encoder: list[Dense]
    features: list[Dense]
    genes: list[Dense] | None = None
    selected: Tensor | None = None  # (models, n_features), by falling norm
    norms: Tensor | None = None  # (models, genes), first-layer norms just before pruning
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Runs the stages in order; one instance, one stack of models.

    `streams`: one random stream a model: a model's numbers do not depend on which others are in the stack.
    """

    def __init__(
        self,
        matrix: Any,  # cells by genes, log expression, dense or CSR
        y: NDArray[np.float64],  # cells by features, NaN where missing
        folds: Sequence[Fold],  # one a model: the cells it trains on and those it is tested on after each epoch
        streams: Sequence[np.random.Generator],
        *,
        n_latent: int,
        n_features: int,
        schedule: BottleneckTraining,
        standardize: Standardize = "train",
        device: torch.device | None = None,
        bar: Any = None,
    ) -> None:
        self.folds, self.streams, self.schedule, self.bar = folds, streams, schedule, bar
        self.n_features = n_features
        self.device = device or torch.device("cpu")
        self.x_scales = [learn_scale(matrix, fold, standardize) for fold in folds]
        self.y_scales = [learn_scale(y, fold, standardize) for fold in folds]
        self.inputs = Inputs(matrix, self.x_scales, self.device)
        self.rows = self.inputs.quick(len(folds))
        self.targets = Targets(y, self.y_scales, folds, self.device)
        self.train = [fold.train for fold in folds]
        self.epoch = 0
        wide, narrow = schedule.hidden
        encoder = glorot((matrix.shape[1], wide, narrow, n_latent), streams)
        head = glorot((n_latent, narrow, wide), streams, last_elu=True)
        readout = glorot((wide, y.shape[1]), streams)
        self.networks = Networks(self._here(encoder), self._here([*head, *readout]))

    def fit(self, *, autoencoder: bool = True) -> Networks:
        """Run all stages and return the networks."""
        with torch.no_grad():
            self.pretrain()
            self.frozen()
            self.unfrozen()
            self.tune(self.prune())
            if autoencoder:
                self.autoencode()
        return self.networks

    def pretrain(self) -> None:
        """Tell k-means clusters of the features apart; keep the layers of the chosen epoch, drop the softmax."""
        epochs = self._epochs("pretrain")
        if not epochs:
            return
        labels = pretrain_labels(self.targets, self.folds, self.schedule.n_clusters, self.streams)
        fitted, held_out = split_cells(self.train, self.schedule.validation_fraction, self.streams)
        table = Table(torch.from_numpy(labels)[..., None].to(self.device))
        head = self._here(glorot((self.schedule.hidden[0], self.schedule.n_clusters), self.streams))
        kept = [*self.networks.encoder, *self.networks.features[:-1]]
        layers = [*kept, *head]
        best = [layer.clone() for layer in kept]
        lowest = np.full(len(self.folds), np.inf)
        index, weight = self._padded(held_out)

        def loss(output: Tensor, index: Tensor, weight: Tensor | None) -> Tensor:
            return cross_entropy(output, table.rows(index)[..., 0], weight)

        def on_epoch(epoch: int, losses: NDArray[np.float64]) -> None:
            found = loss(evaluate(layers, self.rows, index), index, weight).cpu().numpy().astype(np.float64)
            better = np.flatnonzero(found < lowest)
            lowest[better] = found[better]
            if self.schedule.start_from == "best":
                for saved, layer in zip(best, kept, strict=True):
                    saved.take(layer, better)
            self._record("pretrain", losses, validation_loss=found)

        rate, lasso = self.schedule.pretrain_rate, self._lasso
        stage = Stage("pretrain", layers, self.rows, loss, fitted, epochs, rate, lasso)
        run_stage(stage, self.schedule, self.streams, self.device, on_epoch)
        if self.schedule.start_from == "best":
            self.networks.encoder = best[:3]
            self.networks.features[:-1] = best[3:]

    def frozen(self) -> None:
        """Train the layers above the frozen ones, whose output is computed once."""
        epochs = self._epochs("frozen")
        if not epochs:
            return
        chain = [*self.networks.encoder, *self.networks.features]
        below, above = chain[: self.schedule.n_frozen], chain[self.schedule.n_frozen :]
        inputs: RowSource = Table(self._all(below, self.rows)) if below else self.rows
        lasso = 0.0 if below else self._lasso
        self._regress("frozen", above, inputs, epochs, self.schedule.frozen_rate, lasso)

    def unfrozen(self) -> None:
        """Train everything, group lasso on."""
        chain = [*self.networks.encoder, *self.networks.features]
        epochs, rate = self._epochs("unfrozen"), self.schedule.unfrozen_rate
        if epochs:
            self._regress("unfrozen", chain, self.rows, epochs, rate, self._lasso)

    def prune(self) -> Table:
        """Keep the genes with the largest first-layer norms; return their standardised values."""
        norms = group_norms(self.networks.encoder[0].weight)
        selected = norms.argsort(dim=1, descending=True, stable=True)[:, : self.n_features]
        self.networks.norms, self.networks.selected = norms, selected
        self.networks.encoder[0] = self.networks.encoder[0].keep_inputs(selected)
        self.pruned = Table(self.inputs.columns(selected))
        return self.pruned

    def tune(self, inputs: Table) -> None:
        """Train the pruned network without the lasso."""
        chain = [*self.networks.encoder, *self.networks.features]
        self._regress("tuning", chain, inputs, self.schedule.tuning_epochs, self.schedule.tuning_rate, 0.0)

    def autoencode(self) -> None:
        """Train latent -> selected genes with the encoder frozen."""
        wide, narrow = self.schedule.hidden
        n_latent = self.networks.encoder[-1].weight.shape[2]
        head = self._here(glorot((n_latent, narrow, wide, self.n_features), self.streams))
        latent = Table(self._all(self.networks.encoder, self.pruned))

        def loss(output: Tensor, index: Tensor, weight: Tensor | None) -> Tensor:
            return mean_squares(output, self.pruned.rows(index), weight)

        epochs, rate = self.schedule.autoencoder_epochs, self.schedule.autoencoder_rate
        stage = Stage("autoencoder", head, latent, loss, self.train, epochs, rate)
        run_stage(stage, self.schedule, self.streams, self.device, lambda _, losses: self._record(stage.name, losses))
        self.networks.genes = head

    def _regress(
        self, name: str, layers: Sequence[Dense], inputs: RowSource, epochs: int, rate: float, lasso: float
    ) -> None:
        total = self.targets.mean_square(self.train)
        index, weight = self._padded([fold.test for fold in self.folds])

        def on_epoch(epoch: int, losses: NDArray[np.float64]) -> None:
            scores: dict[str, NDArray[np.float64]] = {"train_r2": 1 - losses / total}
            if index.shape[1]:
                scores["test_r2"] = self.targets.r2(evaluate(layers, inputs, index), index, weight)
            self._record(name, losses, **scores)

        stage = Stage(name, layers, inputs, self.targets.loss, self.train, epochs, rate, lasso)
        run_stage(stage, self.schedule, self.streams, self.device, on_epoch)

    @property
    def _lasso(self) -> float:
        return float(self.schedule.lasso or 0.0)

    def _epochs(self, stage: str) -> int:
        """Return the passes of a stage, of a schedule that `BottleneckTraining.for_cells` has returned."""
        return int(getattr(self.schedule, f"{stage}_epochs"))

    def _all(self, layers: Sequence[Dense], inputs: RowSource) -> Tensor:
        """Return the layers' output for every cell."""
        index = torch.arange(self.targets.cells, device=self.device).expand(len(self.folds), -1)
        return evaluate(layers, inputs, index)

    def _padded(self, cells: Sequence[NDArray[np.intp]]) -> tuple[Tensor, Tensor | None]:
        index, weight = pad(cells)
        return index.to(self.device), None if weight is None else weight.to(self.device)

    def _here(self, layers: list[Dense]) -> list[Dense]:
        return [layer.to(self.device) for layer in layers]

    def _record(self, stage: str, losses: NDArray[np.float64], **columns: NDArray[np.float64]) -> None:
        self.epoch += 1
        for r, fold in enumerate(self.folds):
            row = {name: float(values[r]) for name, values in columns.items()}
            self.networks.history.append(
                {"model": fold.name, "epoch": self.epoch, "stage": stage, "train_loss": float(losses[r]), **row}
            )
        if self.bar is not None:
            shown = {name: f"{float(np.nanmean(values)):.3f}" for name, values in columns.items()}
            self.bar.set_postfix(stage=stage, loss=f"{losses.mean():.3f}", **shown, refresh=False)
            self.bar.update(1)
