"""Which fits are trained on whole trajectories, with which settings, and what these have chosen."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from scdash._core.errors import unused
from scdash.dynamics.options import FitOptions, method_of
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.fit import LISTED, Followed
from scdash.dynamics.whole_trajectories.one_fit import EPOCHS
from scdash.dynamics.whole_trajectories.pruning import ROUNDS, ROUNDS_OF_GENOMES, SMALL_ROUNDS
from scdash.sparsity import GeometricSchedule
from scdash.training.whole_trajectories import WholeTrajectories

SETTINGS = ("learning_rate", "batch_size", "max_epochs")  # of `Training` that such a fit has
NEUTRAL = {"tau": 1.0, "solver": "rk4"}
# thousands of genes: fewer epochs and rounds, of fewer roll-outs
EPOCHS_OF_GENOMES, BATCH_OF_GENOMES = (0, 30), 16
MORE_EPOCHS = (0, 30, 100, 300)  # of lineages, which are hard to tell apart, and of sampled times, which are few states
LEARNING_RATE = 1e-2  # of cells
FROM_START = 0.8  # of lineages: their first states are nearly the same, and decide to which end each goes
# of a single trajectory of cells: what is evaluated begins there, and from there pruned models go the furthest astray
FROM_SINGLE_START = 0.25
# roll-outs of a step there: 64 take a fifth more time, and follow five real trajectories no better (benchmarks/trajectories)
BATCH_OF_SINGLE = 32
LEARNING_RATE_OF_STATES = 1e-3  # their regression predicts well: larger steps leave it worse than they found it


def suits_whole_trajectories(options: FitOptions) -> bool:
    """Return whether a fit is to be trained on whole trajectories: gene-wise, started from the regression.

    Methods with penalties or gates start from random weights.
    """
    return (
        options.start == "regression"
        and options.is_phoenix
        and options.encoder == "genes"
        and method_of(options).plain
        and not method_of(options).levels
        and options.training.get("max_epochs") != 0
        and options.checkpoint is None
    )


def follows_trajectories(options: FitOptions) -> bool:
    """Return whether a fit is trained on whole trajectories; settings that such a training does not have are refused."""
    if not suits_whole_trajectories(options):
        return False
    given = {name: value for name, value in options.training.items() if NEUTRAL.get(name) != value}
    other = sorted(set(given) - set(SETTINGS))
    if other:
        raise unused(
            ", ".join(f"{name} of Training" for name in other),
            "fits that start from the regression are trained on whole trajectories, which has the settings "
            f"{', '.join(SETTINGS)}; start='random' has the others",
        )
    return True


def default_rounds(problem: FitProblem, options: FitOptions) -> GeometricSchedule:
    """Return the schedule of pruning where the user gives none."""
    if options.cells:
        return SMALL_ROUNDS if problem.learning_halves else ROUNDS
    return ROUNDS_OF_GENOMES if problem.n_genes**2 > LISTED else SMALL_ROUNDS


def has_lineages(problem: FitProblem, options: FitOptions) -> bool:
    """Return whether cells are of several lineages, which one model has to tell apart by their first states."""
    return options.cells and problem.lineage is not None and len(np.unique(problem.lineage)) > 1


def dense_epochs(problem: FitProblem, options: FitOptions) -> tuple[int, ...]:
    """Return the numbers of dense epochs to choose among: none, and up to the user's bound."""
    n_genes = problem.n_genes
    most = options.training.get("max_epochs")
    known: tuple[int, ...] = EPOCHS_OF_GENOMES if n_genes**2 > LISTED and not options.cells else EPOCHS
    if has_lineages(problem, options) or problem.left_out_times:
        known = MORE_EPOCHS
    return known if most is None else (*(epochs for epochs in known if epochs < most), int(most))


def whole_settings(problem: FitProblem, options: FitOptions) -> WholeTrajectories:
    """Return the settings of training, with the user's own."""
    n_genes = problem.n_genes
    given: dict[str, Any] = {
        name: options.training[name] for name in ("learning_rate", "batch_size") if name in options.training
    }
    rate = LEARNING_RATE if options.cells else LEARNING_RATE_OF_STATES
    batch, start = WholeTrajectories.batch_size, 0.0
    if n_genes**2 > LISTED and not options.cells:
        batch = BATCH_OF_GENOMES
    if has_lineages(problem, options):
        start = FROM_START
    elif options.cells and problem.learning_halves:
        batch, start = BATCH_OF_SINGLE, FROM_SINGLE_START
    return replace(WholeTrajectories(learning_rate=rate, batch_size=batch, from_start=start), **given)


def mixed_starts(problem: FitProblem, options: FitOptions) -> tuple[bool, ...]:
    """Return whether starts may be mixed: where whole trajectories of cells are left out, that is to be chosen by them."""
    several = options.cells and not problem.learning_halves and not problem.left_out_times
    return (False, True) if several else (False,)


def chosen_settings(problem: FitProblem, options: FitOptions, followed: Followed) -> dict[str, Any]:
    """Return what held-out trajectories have chosen, and what made the zeros."""
    choice, weighed, started = followed.choice, followed.velocity, followed.regressions
    settings = replace(
        whole_settings(problem, options),
        mixed_starts=choice.mixed_starts,
        velocity_weight=0.0 if weighed is None else weighed.weight,
    )
    name = options.method_name
    if name == "dash" and (problem.prior is None or choice.prior_weight == 1):
        name = "imp"
    return {
        "sparsity": "regression and " + name if choice.level else "regression",
        "training": asdict(settings),
        "chosen": {"prior_weight": choice.prior_weight, "epochs": choice.epochs, "level": choice.level}
        | {"epochs_after_pruning": choice.epochs_after, "mixed_starts": choice.mixed_starts}
        | {"regressions": "" if started is None else str(started.made_of.regressions)}
        | ({} if weighed is None else {"velocity_weight": weighed.weight}),
        "choices": choice.table,
        **({} if started is None else {"regression_choices": started.table}),
        **({} if weighed is None else {"velocity_choices": weighed.table}),
        "judged_by": followed.judged_by,
    }
