"""DCDFG: differentiable causal discovery of factor graphs (Lopez et al. 2022, NeurIPS)."""

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
FACTORS = (10, 30)  # that of the PerturbODE paper, and more, because a network of 500 edges is not of low rank


@dataclass(frozen=True)
class DCDFGSettings:
    """Settings; `penalty` and the number of factors are by default those of the PerturbODE paper.

    The penalty is of the mean probability that a gene enters or leaves a factor, 0.5 sum / (genes factors), as in the
    authors' code (github.com/Genentech/dcdfg).
    """

    factors: int = 10
    penalty: float = 0.1  # lambda
    hidden: int = 16
    batch: int = 64
    lagrangian: Lagrangian = field(default_factory=Lagrangian)


def dcdfg(
    x: ArrayLike, perturbation: ArrayLike, targets: ArrayLike, settings: DCDFGSettings | None = None, *, seed: int = 0
) -> Floats:
    r"""Return the probability that any factor carries an edge (regulator, target).

    Genes regulate factors and factors regulate genes, so that the graph of the genes has low rank (a factor directed
    graph). Without `settings`, the likelihood of held-out perturbations chooses the penalty and the number of factors. The conditional of gene j in the interventional likelihood of DCDI is

    .. math:: x_j \sim N\Big(\sum_k V_{kj} a_{kj} f_k(U_{\cdot k} \circ x), s_j^2\Big)

    with a network f_k of one hidden layer per factor. Every gene is an input of a factor, an output of it, or neither
    (one categorical variable per pair, with straight-through Gumbel gradients), so that no gene predicts itself through a
    factor. The constraint is the spectral radius of the expected graph among the factors, whose entry (k, l) sums over
    genes the probability of being an output of k and an input of l; a gene cannot be both for one factor, so the diagonal
    is zero.
    """
    cells = Cells.of(x, perturbation, targets)
    candidates = [DCDFGSettings(m, p) for m in FACTORS for p in PENALTIES]
    settings = settings or choose(candidates, cells.perturbed, partial(_error, cells=cells, seed=seed), seed=seed)
    with torch.no_grad():
        enters, leaves = (p.double() for p in _trained(cells, settings, seed).probabilities())
        none = torch.log1p(-(enters[:, None, :] * leaves[None]).clamp_max(1 - 1e-12)).sum(-1)
        found = -torch.expm1(none)
        return found.fill_diagonal_(0).numpy()


def _trained(cells: Cells, settings: DCDFGSettings, seed: int) -> "_FactorGraph":
    d, m, generator = cells.x.shape[1], settings.factors, torch.Generator().manual_seed(seed)
    model = _FactorGraph.start(d, m, settings.hidden, generator)
    off, radius = 1 - torch.eye(m), SpectralRadius(m)

    def constraint() -> Tensor:
        enters, leaves = model.probabilities()
        return radius((leaves.T @ enters) * off)

    def objective() -> Tensor:
        values, free = cells.draw(settings.batch, generator)
        enters, leaves = model.probabilities()
        return model.loss(values, free, generator) + settings.penalty * 0.5 * (enters + leaves).sum() / (d * m)

    with torch.enable_grad():
        settings.lagrangian.minimise(model.parameters(), objective, constraint)
    return model


def _error(settings: DCDFGSettings, perturbations: NDArray[np.int64], *, cells: Cells, seed: int) -> float:
    """Return the negative log likelihood of perturbations left out under a model trained before the constraint counts."""
    trained, left_out = cells.split(perturbations)
    brief = replace(settings, lagrangian=replace(settings.lagrangian, rounds=0))
    model, generator = _trained(trained, brief, seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        parts = zip(left_out.x.split(256), left_out.free.split(256), strict=True)
        return float(torch.stack([model.loss(values, free, generator) for values, free in parts]).mean())


@dataclass
class _FactorGraph:
    """Masks between genes and factors, and the networks of the factors."""

    logits: Tensor  # (genes, factors, 3): input, output, neither
    first: Tensor  # (factors, genes, hidden)
    first_bias: Tensor  # (factors, 1, hidden)
    last: Tensor  # (factors, hidden, 1)
    effect: Tensor  # (factors, genes), a
    bias: Tensor  # (genes,)
    log_sd: Tensor  # (genes,)

    @classmethod
    def start(cls, d: int, m: int, hidden: int, generator: torch.Generator) -> "_FactorGraph":
        made = (
            0.1 * torch.randn(d, m, 3, generator=generator),
            torch.randn(m, d, hidden, generator=generator) / d**0.5,
            torch.zeros(m, 1, hidden),
            torch.randn(m, hidden, 1, generator=generator) / hidden**0.5,
            torch.randn(m, d, generator=generator) / m**0.5,
            torch.zeros(d),
            torch.zeros(d),
        )
        return cls(*(p.requires_grad_() for p in made))

    def parameters(self) -> list[Tensor]:
        return [self.logits, self.first, self.first_bias, self.last, self.effect, self.bias, self.log_sd]

    def probabilities(self) -> tuple[Tensor, Tensor]:
        """Return P(gene enters factor) and P(factor regulates gene), each (genes, factors)."""
        enters, leaves, _ = self.logits.softmax(-1).unbind(-1)
        return enters, leaves

    def masks(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `n` graphs: which genes enter and leave which factor, each (factors, n, genes).

        With e = -log(uniform) of every choice, -log e is Gumbel noise, and the softmax of logits and noise is p / e divided by
        its sum. A softmax over three neighbouring numbers would take half of the time of a step.
        """
        chance = self.logits.softmax(-1).permute(2, 1, 0)[:, :, None]  # (3, factors, 1, genes)
        uniform = torch.rand(*chance.shape[:2], n, chance.shape[3], generator=generator)
        weight = chance / -uniform.log_().clamp_max_(-1e-6)
        soft = weight[:2] / weight.sum(0)
        hard = (weight[:2] == weight.amax(0)).to(soft.dtype)
        enters, leaves = hard + soft - soft.detach()
        return enters, leaves

    def loss(self, x: Tensor, free: Tensor, generator: torch.Generator) -> Tensor:
        """Return the mean negative log likelihood of the genes that are no target, with one random graph a cell."""
        return -(self.log_likelihood(x, *self.masks(len(x), generator)) * free).sum() / free.sum().clamp_min(1)

    def log_likelihood(self, x: Tensor, enters: Tensor, leaves: Tensor) -> Tensor:
        """Return the log density of every gene without its constant, (cells, genes)."""
        hidden = leaky_relu(torch.baddbmm(self.first_bias, enters * x, self.first), 0.25)  # (factors, cells, hidden)
        factor = torch.bmm(hidden, self.last)  # (factors, cells, 1)
        mean = (leaves * self.effect[:, None] * factor).sum(0) + self.bias
        return -0.5 * ((x - mean) / self.log_sd.exp()) ** 2 - self.log_sd
