"""PerturbODE as its paper trains it: control cells are carried through the ODE onto each regime's cells."""

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from scdash._data._screen import Screen
from scdash._errors import NonFiniteError
from scdash._logging import logger, progress_bar
from scdash.fields._base import Params
from scdash.fields._perturbode import PerturbODE
from scdash.solve._exponential import exponential_euler


@dataclass(frozen=True)
class TransportConfig:
    """Settings of one training; the defaults are those seen to work (the paper's: T 25, dopri5, lr 1e-3)."""

    loss: Literal["w2", "mean"] = "mean"  # "w2" needs geomloss; its number is the debiased W2^2 / 2
    n_modules: int | None = None  # None: as many as genes, at most 100; 0: gene-wise
    l1: float = 1e-3  # lambda of sum |B| (sum |A| if gene-wise), beside a sum over genes and a mean over regimes
    steps: int = 1200
    learning_rate: float = 5e-3
    regimes: int = 20  # in one batched solve
    cells: int | None = (
        None  # control cells a regime; None: 16 for "w2", 2 for "mean", whose cells all meet at one point
    )
    duration: float = 10.0
    ode_steps: int = 12
    clip: float = 10.0
    learn_strength: bool = False
    diffuse: float = 0.0  # noise of diffused targets in gene SDs; 0: off
    diffuse_duration: float = 0.5
    check_every: int = 50
    patience: int = 10  # checks without a better validation loss AND with a network that hardly moves
    still: float = 0.01  # relative change of G between checks that counts as hardly


@dataclass(frozen=True)
class TransportFit:
    """A trained field; `shift` (genes,) is u of a targeted gene."""

    field: PerturbODE
    params: Params
    shift: Tensor
    history: pd.DataFrame


def interventions(screen: Screen, rho: float = 0.7) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return M (regimes, genes) and where a strength is added (regimes, genes), by kind of intervention."""
    mask = np.ones(screen.targets.shape, np.float32)
    kind = np.asarray(screen.kinds)[:, None]
    mask[screen.targets & np.isin(kind, ("overexpression", "knockout"))] = 0
    mask[screen.targets & (kind == "knockdown")] = 1 - rho
    return mask, screen.targets & np.isin(kind, ("overexpression", "shift"))


def start_strengths(means: NDArray[Any], control: NDArray[Any], screen: Screen, w: float) -> NDArray[np.float32]:
    """Return s from the data: perfect w * mean(x | perturbed), imperfect that minus control; unseen the median ratio."""
    total, times = np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for r in range(1, screen.n_regimes):
        if screen.kinds[r] in ("overexpression", "shift"):
            at = screen.targets[r]
            total[at] += w * (means[r] - (control if screen.kinds[r] == "shift" else 0))[at]
            times[at] += 1
    seen = times > 0
    strength = np.where(seen, total / np.maximum(times, 1), 0.0)
    if seen.any() and not seen.all():
        ratio = np.median(strength[seen] / np.maximum(control[seen], 1e-3))
        strength = np.where(seen, strength, ratio * control)
    return np.maximum(strength, 0).astype(np.float32)


def fit_transport(
    x: NDArray[Any], screen: Screen, config: TransportConfig, *, rng: np.random.Generator
) -> TransportFit:
    """Train on cells x (cells, genes), dense log1p values; 20 % of the cells of regimes of >= 100 cells validate.

    Residuals are divided by the control SD of each gene; states never are (scaled states saturate every module).
    """
    config = config if config.cells else replace(config, cells=2 if config.loss == "mean" else 16)
    train, validation = _split(screen, rng)
    cells = torch.as_tensor(np.asarray(x, dtype=np.float32))
    means = np.stack([np.asarray(x[rows]).mean(axis=0) for rows in train])
    control = torch.as_tensor(means[0], dtype=torch.float32)
    sd = torch.as_tensor(np.maximum(np.asarray(x[train[0]]).std(axis=0), 0.05), dtype=torch.float32)
    d = len(screen.genes)
    modules = min(d, 100) if config.n_modules is None else config.n_modules
    field = PerturbODE(d, modules)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    params = field.centred(field.init(1, generator), control)
    mask, added = (torch.as_tensor(m) for m in interventions(screen))
    strength = torch.as_tensor(start_strengths(means, means[0], screen, 0.5))
    raw = torch.log(torch.expm1(strength.clamp_min(1e-3)))
    learned = [*params.values(), raw] if config.learn_strength else list(params.values())
    for p in learned:
        p.requires_grad_()
    optimiser = torch.optim.Adam(learned, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    distance = _distance(config.loss, sd)
    free_rows = torch.eye(d) == 0 if not modules else None

    def simulate(start: Tensor, regimes: NDArray[np.int64], duration: float, ode_steps: int) -> Tensor:
        n = start.shape[0] // len(regimes)
        pick = torch.as_tensor(np.repeat(regimes, n))
        shift = added[pick] * softplus(raw)
        found = exponential_euler(
            field.production(params),
            field.rates(params)[:, None],
            start[None],
            duration=duration,
            steps=ode_steps,
            mask=mask[pick][None],
            shift=shift[None],
        )[0]
        return found.reshape(len(regimes), n, d)

    def draw(rows: list[NDArray[np.int64]], regimes: NDArray[np.int64]) -> Tensor:
        chosen = np.concatenate([rng.choice(rows[r], config.cells) for r in regimes])
        return cells[torch.as_tensor(chosen)]

    history: list[dict[str, float]] = []
    best, kept, stale, before = np.inf, _copy(params, raw), 0, field.network(params).detach()
    perturbed = np.arange(1, screen.n_regimes)
    began = time.perf_counter()
    with progress_bar(config.steps, "transport") as bar:
        for step in range(config.steps):
            regimes = rng.choice(perturbed, min(config.regimes, len(perturbed)), replace=False)
            observed = draw(train, regimes).reshape(len(regimes), -1, d)
            diffused = config.diffuse > 0 and step % 2 == 1
            if diffused:
                start = draw(train, regimes)
                start = start + config.diffuse * sd * torch.randn(start.shape, generator=generator)
                predicted = simulate(start, regimes, config.diffuse_duration, max(2, config.ode_steps // 10))
            else:
                predicted = simulate(
                    draw(train, np.zeros(len(regimes), int)), regimes, config.duration, config.ode_steps
                )
            target = (
                torch.as_tensor(means[regimes], dtype=torch.float32)[:, None] if config.loss == "mean" else observed
            )
            fit = distance(predicted, target)
            loss = fit + config.l1 * params["B" if modules else "A"].abs().sum()
            if not torch.isfinite(loss):
                raise NonFiniteError(
                    f"transport: the loss is not finite at step {step}; lower learning_rate or duration."
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learned, config.clip)
            optimiser.step()
            schedule.step()
            if free_rows is not None:
                params["A"].data.mul_(free_rows)
            bar.update()
            if (step + 1) % config.check_every and step + 1 < config.steps:
                continue
            with torch.no_grad():
                sample = rng.choice(perturbed, min(4 * config.regimes, len(perturbed)), replace=False)
                aim = draw(validation, sample).reshape(len(sample), -1, d)
                aim = aim.mean(1, keepdim=True) if config.loss == "mean" else aim
                error = float(
                    distance(
                        simulate(
                            draw(validation, np.zeros(len(sample), int)), sample, config.duration, config.ode_steps
                        ),
                        aim,
                    )
                )
                network = field.network(params).detach()
                moved = float((network - before).norm() / network.norm().clamp_min(1e-12))
            history.append(
                {"epoch": step + 1, "train_loss": float(fit.detach()), "validation_loss": error, "moved": moved}
            )
            before = network.clone()
            if error < best:
                best, kept = error, _copy(params, raw)
            # the validation loss stops falling long before the network is learned: both must have settled
            stale = stale + 1 if error >= best and moved < config.still else 0
            if stale >= config.patience:
                break
    seconds = time.perf_counter() - began
    logger.info("    %d steps, %.3f s each", len(history) and history[-1]["epoch"], seconds / max(step + 1, 1))
    final = _copy(params, raw) if config.loss == "mean" else kept
    return TransportFit(field, final[0], softplus(final[1]), pd.DataFrame(history))


def _copy(params: Params, raw: Tensor) -> tuple[Params, Tensor]:
    return {name: p.detach().clone() for name, p in params.items()}, raw.detach().clone()


def _split(screen: Screen, rng: np.random.Generator) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    train, validation = [], []
    for r in range(screen.n_regimes):
        rows = rng.permutation(np.flatnonzero(screen.cells == r))
        held = len(rows) // 5 if len(rows) >= 100 else 0
        train.append(rows[held:])
        validation.append(rows[:held] if held else rows)
    return train, validation


def _distance(loss: str, sd: Tensor) -> Any:
    if loss == "mean":
        return lambda predicted, target: (((predicted.mean(1) - target.mean(1)) / sd) ** 2).sum(-1).mean()
    try:
        from geomloss import SamplesLoss
    except ImportError as error:
        raise ImportError("loss='w2' needs geomloss: pip install 'scdash[ot]', or use loss='mean'.") from error
    sinkhorn = SamplesLoss("sinkhorn", p=2, blur=0.05, backend="tensorized")
    return lambda predicted, target: sinkhorn((predicted / sd).contiguous(), (target / sd).contiguous()).mean()
