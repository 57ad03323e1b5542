"""DCDI: differentiable causal discovery from interventional data (Brouillard et al. 2020, NeurIPS)."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import leaky_relu

from benchmarks.screen_baselines.acyclicity import SpectralRadius
from benchmarks.screen_baselines.augmented_lagrangian import Lagrangian
from benchmarks.screen_baselines.held_out import choose
from benchmarks.screen_baselines.inputs import Cells, Floats

PENALTIES = (0.1, 0.02, 0.004)  # that of the papers, and lighter ones


@dataclass(frozen=True)
class DCDISettings:
    """Settings; `penalty` and the number of hidden units are those of the papers."""

    penalty: float = 0.1  # lambda, of the mean probability of an edge
    hidden: int = 16
    batch: int = 64
    lagrangian: Lagrangian = field(default_factory=Lagrangian)


def dcdi(
    x: ArrayLike, perturbation: ArrayLike, targets: ArrayLike, settings: DCDISettings | None = None, *, seed: int = 0
) -> Floats:
    r"""Return the probability of every edge (regulator, target).

    Maximised are the expected interventional log likelihood and sparsity under acyclicity,

    .. math:: E_{M \sim \sigma(\Lambda)} \sum_k E_{x \sim p^{(k)}} \sum_{j \notin I_k}
              \log N(x_j; f_j(M_j \circ x), s_j^2) - \lambda \|\sigma(\Lambda)\|_1

    (Eq. 10 and 11 of the paper for perfect, known interventions): a target's own mechanism is left out of the
    likelihood of the cells in which it is perturbed. M are Bernoulli masks with straight-through Gumbel gradients, f_j a
    network with one hidden layer. The constraint is the spectral radius of sigma(Lambda), as the PerturbODE paper runs it
    (the trace exponential overflows beyond tens of genes). Without `settings`, the likelihood of held-out perturbations
    chooses the penalty.
    """
    cells = Cells.of(x, perturbation, targets)
    settings = settings or choose(
        [DCDISettings(p) for p in PENALTIES], cells.perturbed, partial(_error, cells=cells, seed=seed), seed=seed
    )
    # genes in rows of `logits` are targets, of which the first axis of the networks counts
    with torch.no_grad():
        return _trained(cells, settings, seed).probability().T.double().numpy()


def _trained(cells: Cells, settings: DCDISettings, seed: int) -> "_Conditionals":
    generator, d = torch.Generator().manual_seed(seed), cells.x.shape[1]
    model, radius = _Conditionals.start(d, settings.hidden, generator), SpectralRadius(d)

    def objective() -> Tensor:
        values, free = cells.draw(settings.batch, generator)
        return model.loss(values, free, generator) + settings.penalty * model.probability().sum() / d**2

    with torch.enable_grad():
        settings.lagrangian.minimise(model.parameters(), objective, lambda: radius(model.probability()))
    return model


def _error(settings: DCDISettings, perturbations: NDArray[np.int64], *, cells: Cells, seed: int) -> float:
    """Return the negative log likelihood of perturbations left out under a model trained before the constraint counts."""
    trained, left_out = cells.split(perturbations)
    brief = replace(settings, lagrangian=replace(settings.lagrangian, rounds=0))
    model, generator = _trained(trained, brief, seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        parts = zip(left_out.x.split(256), left_out.free.split(256), strict=True)
        return float(torch.stack([model.loss(values, free, generator) for values, free in parts]).mean())


def bernoulli_masks(logits: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw `n` masks of 0 and 1 (n, *logits.shape) whose gradient is that of the relaxed ones (Gumbel-sigmoid)."""
    uniform = torch.rand(n, *logits.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    soft = torch.sigmoid(logits + torch.logit(uniform))
    return (soft > 0.5).float() + soft - soft.detach()


@dataclass
class _Conditionals:
    """Networks f_j of all genes, side by side; first axis: the gene that is predicted."""

    logits: Tensor  # (target, regulator), Lambda
    first: Tensor  # (target, regulator, hidden)
    first_bias: Tensor  # (target, 1, hidden)
    last: Tensor  # (target, hidden, 1)
    bias: Tensor  # (target,)
    log_sd: Tensor  # (target,)

    @classmethod
    def start(cls, d: int, hidden: int, generator: torch.Generator) -> "_Conditionals":
        first = torch.randn(d, d, hidden, generator=generator) / d**0.5
        last = torch.randn(d, hidden, 1, generator=generator) / hidden**0.5
        made = (torch.zeros(d, d), first, torch.zeros(d, 1, hidden), last, torch.zeros(d), torch.zeros(d))
        return cls(*(p.requires_grad_() for p in made))

    def parameters(self) -> list[Tensor]:
        return [self.logits, self.first, self.first_bias, self.last, self.bias, self.log_sd]

    def probability(self) -> Tensor:
        """Return the probability of every edge, (target, regulator)."""
        return torch.sigmoid(self.logits) * (1 - torch.eye(len(self.logits)))

    def loss(self, x: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean negative log likelihood of the genes that are no target, with one random graph a cell."""
        mask = bernoulli_masks(self.logits, len(x), generator) * (1 - torch.eye(len(self.logits)))
        return -(self.log_likelihood(x, mask) * free).sum() / free.sum().clamp_min(1)

    def log_likelihood(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return log N(x_j; f_j(mask_j x), s_j^2) without its constant, (cells, genes); mask (cells, target, regulator)."""
        seen = (mask * x[:, None, :]).transpose(0, 1)  # (target, cells, regulator)
        hidden = leaky_relu(torch.baddbmm(self.first_bias, seen, self.first), 0.25)
        mean = torch.bmm(hidden, self.last)[..., 0].T + self.bias
        return -0.5 * ((x - mean) / self.log_sd.exp()) ** 2 - self.log_sd
