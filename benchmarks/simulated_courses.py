"""Simulated time courses with known networks that look like measured ones, for `python -m benchmarks.ranking`.

Genes relax to a production that multiplies or joins Hill functions of their regulators (or of their regulators' proteins) and of
hidden inputs. Designs differ in what real courses differ in: samples close together or far apart beside the time in which
genes relax, few samples with noise, hidden inputs, regulators whose activity their own expression does not show, operons.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Range = tuple[float, float]
STEP = 0.05  # of the integration, in units of the genes' mean relaxation time
SETTLING = 400  # steps before the first sample, of a course that begins at rest


@dataclass(frozen=True)
class Design:
    """What a family of simulated courses is drawn from; ranges are uniform, of whole numbers with both ends."""

    genes: tuple[int, int]
    regulators: float  # fraction of the genes
    series: tuple[int, int]
    samples: tuple[int, int]  # of each series
    interval: Range  # between samples, in relaxation times, uniform in logarithms
    noise: Range  # standard deviation of a value, relative to it
    driven: str = (
        "inputs"  # by hidden inputs that change, by "starts" that are random, or by "perturbations" of half the series
    )
    in_degree: float = 1.5  # mean number of regulators of a regulated gene
    hubs: float = 1.2  # standard deviation of the logarithm of how often a regulator is drawn
    hidden: float = 0.15  # fraction of genes that a hidden input acts on besides
    activity: float = 0.3  # fraction of regulators whose activity a hidden input sets
    local: float = (
        0.0  # fraction of regulators that are transcribed with some of their targets, and regulate that operon
    )
    proteins: bool = True  # half of the courses have proteins that follow their genes slowly
    logarithm: bool = False  # values are logarithms


DESIGNS = {
    "qPCR": Design((5, 8), 0.7, (1, 2), (12, 20), (0.25, 2), (0.05, 0.15), hubs=0.3, activity=0.2),
    "qPCR, noisy": Design((5, 12), 0.5, (1, 3), (8, 20), (0.25, 4), (0.15, 0.35)),
    "one regulon": Design((8, 14), 0.15, (1, 1), (12, 20), (0.25, 2), (0.05, 0.15), in_degree=1.2, activity=0.6),
    "one operon": Design((7, 11), 0.01, (1, 2), (12, 20), (0.5, 8), (0.05, 0.2), in_degree=1, activity=1, local=1),
    "compendium": Design((50, 50), 0.15, (5, 10), (5, 8), (1, 6), (0.1, 0.25), activity=0.4, logarithm=True),
    "operons": Design(
        (50, 50), 0.25, (5, 14), (4, 7), (3, 16), (0.1, 0.25), in_degree=1.2, activity=0.5, local=0.5, logarithm=True
    ),
    "samples far apart": Design((15, 40), 0.25, (1, 7), (8, 15), (4, 20), (0.08, 0.2), hidden=0.05, activity=0.1),
    "bulk": Design((20, 40), 0.25, (1, 3), (15, 30), (0.5, 3), (0.08, 0.2), logarithm=True),
    "slow": Design((15, 40), 0.25, (1, 3), (8, 20), (0.2, 1), (0.08, 0.25)),
    "hidden activity": Design((15, 40), 0.2, (2, 7), (6, 15), (0.5, 8), (0.08, 0.2), activity=0.9, local=0.2),
    "perturbations": Design(
        (40, 40), 0.35, (5, 10), (21, 21), (0.35, 1.4), (0.03, 0.1), "perturbations", 1.7, hidden=0, activity=0
    ),
    "random starts": Design(
        (20, 40), 0.33, (8, 19), (4, 8), (0.35, 1.4), (0.03, 0.1), "starts", 1.6, hidden=0, activity=0, proteins=False
    ),
}


@dataclass
class System:
    """Genes, their edges and the hidden inputs; edges are arrays of equal length."""

    genes: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    activates: NDArray[np.bool_]
    half: Floats  # level of the source at which an edge acts by half
    exponent: Floats
    decay: Floats  # (genes,)
    basal: Floats  # (genes,)
    any_of: NDArray[np.bool_]  # (genes,), whether one of the regulators suffices
    protein: Floats | None  # (genes,), rates at which proteins follow
    activity: NDArray[np.int64]  # (genes,), the input that sets a regulator's activity, -1: none
    inputs: list[tuple[int, int, bool]] = field(default_factory=list)  # input, gene, activates

    def production(self, levels: Floats, inputs: Floats) -> Floats:
        """Return the production of every gene from levels (series, genes) and inputs (series, number)."""
        seen = np.where(self.activity >= 0, 0.15 + 0.85 * inputs[:, self.activity], 1.0) * levels
        power = np.maximum(seen[:, self.source], 1e-9) ** self.exponent
        act = power / (power + self.half**self.exponent)
        act = np.where(self.activates, act, 1 - act)
        every, none = np.ones_like(levels), np.ones_like(levels)
        acted = np.zeros(self.genes, dtype=bool)
        for k, target in enumerate(self.target):
            every[:, target] *= act[:, k]
            none[:, target] *= 1 - act[:, k]
            acted[target] = True
        for number, gene, activates in self.inputs:
            value = inputs[:, number] if activates else 1 - inputs[:, number]
            every[:, gene] *= value
            none[:, gene] *= 1 - value
            acted[gene] = True
        joined = np.where(acted, np.where(self.any_of, 1 - none, every), 0.5)
        return np.asarray(self.basal + (1 - self.basal) * joined)


def simulated_course(name: str, seed: int) -> AnnData:
    """Return a course: samples by genes, `obs` time and series, `varp["truth"]` without a gene's effect on itself."""
    rng, design = np.random.default_rng([seed, *name.encode()]), DESIGNS[name]
    system = _system(design, rng)
    series, samples = (int(rng.integers(low, high + 1)) for low, high in (design.series, design.samples))
    interval = float(np.exp(rng.uniform(*np.log(design.interval))))
    states = _integrated(system, design, series, samples, interval, rng).reshape(series * samples, system.genes)
    noise = rng.uniform(*design.noise)
    states = states * rng.lognormal(0, 0.5, system.genes) * np.exp(rng.normal(0, noise, states.shape))
    states += 0.3 * noise * states.mean(axis=0) * rng.normal(size=states.shape)
    if design.logarithm:
        states = np.log2(np.maximum(states, 0) + 0.02)
    obs = pd.DataFrame(
        {
            "time": np.tile(interval * np.arange(samples), series),
            "series": np.repeat([f"s{k}" for k in range(series)], samples),
        },
        index=[f"sample{k}" for k in range(series * samples)],
    )
    adata = AnnData(states.astype(np.float32), obs=obs, var=pd.DataFrame(index=[f"g{k}" for k in range(system.genes)]))
    truth = np.zeros((system.genes, system.genes), dtype=np.int8)
    truth[system.source, system.target] = 1
    np.fill_diagonal(truth, 0)
    adata.varp["truth"] = truth
    return adata


def _system(design: Design, rng: np.random.Generator) -> System:
    genes = int(rng.integers(design.genes[0], design.genes[1] + 1))
    regulators = rng.permutation(genes)[: max(1, round(design.regulators * genes))]
    effect, operon = _effects(design, genes, regulators, rng)
    source, target = np.nonzero(effect)
    half, exponent = rng.uniform(0.25, 0.75, (genes, genes)), rng.uniform(1, 3.5, (genes, genes))
    basal, any_of = rng.uniform(0.02, 0.15, genes), rng.random(genes) < 0.5
    slow = design.proteins and rng.random() < 0.5
    count = max(1, min(4, genes // 8 + 1))
    activity = np.full(genes, -1)
    inputs = []
    for regulator in regulators:
        own_operon = effect[regulator, regulator] != 0
        if own_operon or rng.random() < design.activity:
            activity[regulator] = rng.integers(count)
        if not effect[:, regulator].any():
            inputs.append((int(rng.integers(count)), int(regulator), True))
    inputs += [
        (int(rng.integers(count)), gene, bool(rng.random() < 0.5))
        for gene in range(genes)
        if rng.random() < design.hidden
    ]
    return System(
        genes, source, target, effect[source, target] > 0, half[source, operon[target]], exponent[source, operon[target]],
        rng.lognormal(0, 0.4, genes), basal[operon], any_of[operon], rng.lognormal(-0.5, 0.3, genes) if slow else None, activity, inputs,
    )  # fmt: skip


def _effects(
    design: Design, genes: int, regulators: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return signed effects (source, target), and for every gene the one whose promoter it shares."""
    effect, operon = np.zeros((genes, genes), dtype=np.int64), np.arange(genes)
    fame = rng.lognormal(0, design.hubs, len(regulators))
    for gene in range(genes):
        if gene in regulators and (len(regulators) == 1 or rng.random() < 0.35):
            continue  # moved by hidden inputs alone
        others = regulators != gene
        count = min(int(others.sum()), 1 + rng.poisson(design.in_degree - 1))
        drawn = rng.choice(regulators[others], count, replace=False, p=fame[others] / fame[others].sum())
        effect[drawn, gene] = np.where(rng.random(count) < 0.65, 1, -1)
    free = list(rng.permutation(np.setdiff1d(np.arange(genes), regulators)))
    for regulator in regulators:
        if rng.random() < design.local and len(free) > 3:
            members = [regulator, *(free.pop() for _ in range(int(rng.integers(1, 4))))]
            column = np.zeros(genes, dtype=np.int64)
            column[regulator] = 1 if rng.random() < 0.3 else -1
            effect[:, members], operon[members] = column[:, None], regulator
    return effect, operon


def _integrated(
    system: System, design: Design, series: int, samples: int, interval: float, rng: np.random.Generator
) -> Floats:
    """Return states at the samples, (series, samples, genes), by the midpoint rule."""
    steps = max(8, int(np.ceil(interval / STEP)))
    total, step = interval * (samples - 1), interval / steps
    times = np.linspace(0, total, 2 * steps * (samples - 1) + 1)
    number = 1 + max([system.activity.max(), *(k for k, _, _ in system.inputs)], default=0)
    inputs = np.stack([_inputs(max(number, 1), total, times, rng) for _ in range(series)])
    if design.driven != "inputs":
        inputs = np.repeat(inputs[:, :, :1], len(times), axis=2)
    factor = np.ones((series, system.genes))
    if design.driven == "perturbations":
        factor = np.where(rng.random(factor.shape) < 1 / 3, 2 ** rng.uniform(-2, 2, factor.shape), 1.0)

    def change(m: Floats, p: Floats, at: int, times_production: Any) -> tuple[Floats, Floats]:
        made = system.production(m if system.protein is None else p, inputs[:, :, at]) * times_production
        return system.decay * (made - m), np.zeros_like(m) if system.protein is None else system.protein * (m - p)

    m = rng.uniform(0.05, 0.95, (series, system.genes))
    if design.driven != "starts":
        p = m
        for _ in range(SETTLING):
            dm, dp = change(m, p, 0, 1.0)
            m, p = m + 0.1 * dm, p + 0.1 * dp
    p, found = m, [m]
    for k in range(steps * (samples - 1)):
        on = factor if 2 * k < steps * (samples - 1) else 1.0
        dm, dp = change(m, p, 2 * k, on)
        dm, dp = change(m + step / 2 * dm, p + step / 2 * dp, 2 * k + 1, on)
        m, p = m + step * dm, p + step * dp
        if (k + 1) % steps == 0:
            found.append(m)
    return np.stack(found, axis=1)


def _inputs(number: int, total: float, times: Floats, rng: np.random.Generator) -> Floats:
    """Return hidden inputs (number, times) in [0, 1]: switches, pulses, decays, oscillations, steps, or one less these."""
    found = []
    for _ in range(number):
        middle, width = rng.uniform(0.05, 0.5) * total, rng.uniform(0.03, 0.25) * total
        levels, places = rng.random(4), np.sort(rng.uniform(0, total, 3))
        shapes = [
            1 / (1 + np.exp(-np.clip((times - middle) / (width / 4), -50, 50))),
            np.exp(-0.5 * ((times - middle) / width) ** 2),
            np.where(times > middle / 2, np.exp(-np.maximum(times - middle / 2, 0) / (2 * width)), 0),
            0.5 + 0.5 * np.sin(2 * np.pi * (times / (total * rng.uniform(0.3, 1.2)) + rng.random())),
            levels[np.searchsorted(places, times)],
        ]
        shape = shapes[rng.integers(len(shapes))]
        found.append(shape if rng.random() < 0.6 else 1 - shape)
    return np.stack(found)
