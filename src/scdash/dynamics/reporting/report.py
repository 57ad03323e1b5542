"""The report on a fit of cells: the verdict first, the errors behind it, and what to do next; every sentence is a measurement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from scdash._core.decisions import Difference
from scdash._core.display import aligned
from scdash.dynamics.comparisons.baselines import CONSTANT
from scdash.dynamics.comparisons.null_models import NO_NETWORK
from scdash.dynamics.reporting.direction import UNRELIABLE
from scdash.dynamics.reporting.lineages import lineage_lines
from scdash.dynamics.reporting.power import Power, power_for
from scdash.dynamics.reporting.verdict import Outcome, Verdict, difference
from scdash.dynamics.whole_trajectories.folds import LEFT_OUT, OTHER_HALF, TIME_POINTS
from scdash.dynamics.whole_trajectories.one_fit import PRIOR_WEIGHT, Choice
from scdash.dynamics.whole_trajectories.selection import AS_MUCH, HARDLY, Errors
from scdash.dynamics.whole_trajectories.velocity_weight import VelocityChoice

NOT_COMPARED = {
    "off": "null models were not asked for",
    "interrupted": "the fits of null models were interrupted",
}
SUBJECTS = {
    LEFT_OUT: "left-out trajectories are",
    OTHER_HALF: "the other half of the cells is",
    TIME_POINTS: "left-out time points are",
}
UNITS_OF_ERRORS = {  # see `Fold.constant_error`
    LEFT_OUT: "a constant's",
    OTHER_HALF: "a constant's",
    TIME_POINTS: "the variance of the mean states of all times",
}
ADVICE = {  # where the errors distinguish nothing: what makes the comparison stronger
    LEFT_OUT: "more batches make the test stronger",
    OTHER_HALF: "more batches make the test stronger",
    TIME_POINTS: "more sampled times make the test stronger",
}
RULES = {  # how the level of pruning was chosen, see `chosen_level`
    LEFT_OUT: ", and no sparser level is within one standard error of the best one"
    f" (of few trajectories: or within {HARDLY - 1:.0%} of its error, and explains {AS_MUCH:.1%} of what it does)",
    OTHER_HALF: f", and no sparser level explains {AS_MUCH:.1%} of what the best one does",
}
WELL_FOLLOWED = 0.9  # fraction of what the smoothed cells reach themselves below which more genes or cells are advised


@dataclass(frozen=True)
class Told:
    """Everything that a report is made from."""

    choice: Choice
    judged_by: str  # what the folds left out
    errors: Mapping[str, Errors]  # relative errors of null models and baselines on the folds
    verdict: Verdict | None
    null_models: str  # "compared", "off" or "interrupted"
    following: pd.DataFrame  # see `following_table`
    prior: Mapping[str, Any]  # what became of the prior: `used`, `kept`, `not_supported`, `added`, `evidence_auc`, ...
    prior_used: bool | None  # None: there is no prior
    figures: Mapping[str, float]  # of the network: `edges`, `genes`, `genes_without_inputs`
    trajectories: int
    regulators: int | None  # None: every gene may regulate
    test: pd.DataFrame | None = None  # errors on test states
    trajectory: Sequence[str] = ()
    ends: pd.DataFrame | None = None  # of several lineages, see `lineage_ends`
    real_time: Mapping[str, float] = field(default_factory=dict)
    alignment: pd.DataFrame | None = None  # of the batches of every lineage, see `BatchAlignment`
    velocity: VelocityChoice | None = None  # of measured velocities
    velocity_cosine: float = float("nan")

    @property
    def whole(self) -> bool:
        """Whether whole trajectories were left out."""
        return self.judged_by == LEFT_OUT


def summary(told: Told) -> str:
    """Return the report: verdict, errors, how well trajectories are followed, prior, what to do next."""
    lines = [verdict_line(told), *error_lines(told), *alignment_lines(told.alignment), *following_lines(told.following)]
    lines += [] if told.ends is None else lineage_lines(told.ends)
    lines += [] if told.velocity is None else told.velocity.lines(told.velocity_cosine)
    lines += prior_lines(told)
    return "\n".join([*lines, *direction_warnings(told), *next_lines(told)])


def direction_warnings(told: Told) -> list[str]:
    """Return where the velocity cannot be read: a user who draws arrows must not have to ask for details first."""
    return [line for line in told.trajectory if line.startswith(UNRELIABLE)]


def verdict_line(told: Told) -> str:
    """Return one sentence that says what held-out predictions distinguish."""
    if told.verdict is None:
        return f"Verdict: not tested whether a network predicts better than none, because {NOT_COMPARED[told.null_models]}."
    subject = SUBJECTS[told.judged_by]
    network, regulators = told.verdict.network.outcome, told.verdict.regulators.outcome
    of_network = _of_network(subject, network)
    if regulators == "better":
        rest = "and than without a network" if network == "better" else "but not clearly better than without a network"
        text = f"{subject} predicted better with these regulators than with random ones, {rest}"
    elif regulators == "not distinguished":
        text = f"held-out prediction does not distinguish these regulators from random ones{_power(told)}"
        text = "; ".join(filter(None, (text, of_network)))
    elif of_network:
        text = of_network
    else:
        few = f"{told.judged_by} of one fold alone have no standard error"
        missing = "the errors of null models are missing"
        return f"Verdict: not tested, because {few if len(told.choice.errors) < 2 else missing}."
    if regulators == "not tested" and told.regulators is None:
        text += "; which genes regulate is not tested, because every gene may: name the regulators (regulators=...)"
    elif regulators == "not tested":
        text += "; these regulators are not tested against random ones, because no other sets of genes could be drawn"
    if not told.whole:
        text += "; no trajectory was left out, so that nothing is tested on another one"
    return f"Verdict: {text}. These comparisons test no single edge."


def _of_network(subject: str, network: Outcome) -> str:
    """Say whether a network predicts better than none; empty where that was not tested."""
    said = f"{subject} predicted better with a network than without"
    return {"better": said, "not distinguished": f"it is not shown that {said}"}.get(network, "")


def _power(told: Told) -> str:
    power = power_for(told.trajectories) if told.whole else None
    return "" if power is None else f" ({power_words(power)})"


def power_words(power: Power) -> str:
    """Say what the test finds in simulations."""
    return (
        f"in {power.runs} simulations with {power.trajectories} trajectories this test found true regulators in "
        f"{power.found:.0%}, and took random ones for better in {power.mistaken:.0%}"
    )


def error_lines(told: Told) -> list[str]:
    """Return the small table of held-out errors, and the errors on test states where there are any."""
    ours, verdict = told.choice.errors, told.verdict
    rows = [("model", ours), ("regression start", told.choice.start_errors)]
    if verdict is not None and verdict.best_null:
        rows.append((f"best null model ({verdict.best_null})", told.errors[verdict.best_null]))
    if verdict is not None and verdict.best_null != NO_NETWORK and NO_NETWORK in told.errors:
        rows.append((NO_NETWORK, told.errors[NO_NETWORK]))  # of which the verdict speaks
    if verdict is not None and verdict.best_baseline not in ("", CONSTANT):
        rows.append((f"best baseline without a model ({verdict.best_baseline})", told.errors[verdict.best_baseline]))
    rows.append((CONSTANT, told.errors[CONSTANT]))
    folds = (
        f"{len(ours)} folds; the model was chosen by them" if len(ours) > 1 else "1 fold; the model was chosen by it"
    )
    lines = [
        f"Mean squared error on {told.judged_by}, as a fraction of {UNITS_OF_ERRORS[told.judged_by]} ({folds}, and fitted "
        "again to everything that is not for test):"
    ]
    shown = []
    for name, errors in rows:
        paired = difference(errors, ours)
        beside = "" if name in ("model", CONSTANT) or not paired.pairs else _beside(paired, errors, ours)
        shown.append((name, f"{np.nanmean(errors):.3f}", beside))
    lines += aligned(shown)
    if told.test is not None:
        listed = ", ".join(f"{row.predictor} {row.test:.3f}" for row in told.test.itertuples())
        lines.append(f"On test states, which took no part in any choice: {listed}.")
    return lines


def alignment_lines(alignment: pd.DataFrame | None) -> list[str]:
    """Say which batches were aligned in time; every predictor above has these times."""
    lines = []
    for row in [] if alignment is None else alignment.to_dict("records"):
        name = "" if row["lineage"] == "all" else f" of lineage {row['lineage']}"
        if row["aligned"]:
            lines.append(
                f"The {row['batches']} batches{name} are aligned in time by expression, also those that are left out: in genes "
                f"that took no part, the error of the mean of the other batches is {row['error']:.2f}, and with ranks "
                f"{row['error_of_ranks']:.2f}."
            )
    return lines


def _beside(paired: Difference, errors: Errors, ours: Errors) -> str:
    """Return the difference to the model; a null model that was not fitted on all folds is compared on its own ones."""
    known, place = np.isfinite(errors), ""
    if not known.all():
        folds = f"the only fold of {len(ours)}" if known.sum() == 1 else f"the {known.sum()} of {len(ours)} folds"
        place = f", whose error is {ours[known].mean():.3f} on {folds} that both were fitted on"
    spread = f", standard error {paired.error:.3f}" if paired.tested else ""
    return f"({paired.mean:+.3f} beside the model{place}{spread})"


def following_lines(following: pd.DataFrame) -> list[str]:
    """Return how much of the mean trajectory of every lineage the model follows."""
    found = []
    for row in following.to_dict("records"):
        if not np.isfinite(row["r2"]):
            continue
        name = f" of lineage {row['lineage']}" if len(following) > 1 else ""
        text = f"R2 of the mean trajectory{name}, top {row['genes']} genes: {row['r2']:.2f} (median gene {row['r2_median_gene']:.2f})"
        if np.isfinite(row["r2_other_half"]):
            text += f"; other half of the cells {row['r2_other_half']:.2f}, the data's own smoother {row['r2_smoother']:.2f}"
        found.append(text + ".")
    return found


def prior_lines(told: Told) -> list[str]:
    """Say whether the prior was used, and what became of its edges."""
    prior, figures = told.prior, told.figures
    network = (
        f"The network has {int(figures['edges'])} edges; {int(figures['genes_without_inputs'])} of {int(figures['genes'])} "
        f"genes have no regulator.{pruning_words(told.choice, told.judged_by)}"
    )
    if told.prior_used is None:
        return [network, "There is no prior: edges are ranked by the data alone."]
    edges = f"{prior['kept']} of its {prior['used']} edges are retained, {prior['not_supported']} are not supported, {prior['added']} edges are novel"
    if told.prior_used:
        compared = f", and these edges predict {_than_shuffled(told.verdict)}" if told.verdict is not None else ""
        how = f"used with weight {PRIOR_WEIGHT:g}, which lowers the held-out error"
        how = "used by pruning alone" if told.choice.prior_weight == 1 else how
        return [network, f"Prior: {how}{compared}; {edges}."]
    return [network, f"Prior: not used, since it did not clearly lower the held-out error; {edges}."]


def pruning_words(choice: Choice, judged_by: str) -> str:
    """Say which fraction of the edges pruning has kept, and what this costs; nothing where nothing was pruned."""
    path = choice.table[choice.table["stage"] == "pruned"]
    if not choice.level:
        return ""
    first, chosen = path.iloc[0], path.iloc[choice.level]
    further = (
        f"; {choice.epochs_after} further epochs lower it to {choice.errors.mean():.3f}" if choice.epochs_after else ""
    )
    return (
        f" Pruning kept {chosen['edges'] / first['edges']:.0%} of the edges of the start: the error on {judged_by} is "
        f"{chosen['error']:.3f} with them and {first['error']:.3f} with all{RULES.get(judged_by, '')}{further}."
    )


def _than_shuffled(verdict: Verdict) -> str:
    if verdict.prior.outcome == "better":
        return "better than shuffled ones"
    if verdict.prior.outcome == "not distinguished":
        return "no better than shuffled ones can be shown to"
    return "the same as shuffled ones, or could not be shuffled"


def next_lines(told: Told) -> list[str]:
    """Say what to do next, where a figure asks for it."""
    found = []
    verdict = told.verdict
    if told.choice.errors.mean() >= told.errors[CONSTANT].mean():
        order = "" if told.judged_by == TIME_POINTS else "look at the order of the cells and "
        found.append(f"The model predicts no better than a constant: {order}choose other genes.")
    if verdict is None:
        found.append("Next: fit with null models before reading the network.")
    elif told.regulators is None:
        found.append("Next: name the genes that may regulate (regulators=...), so that they can be tested.")
    elif verdict.regulators.outcome != "better":
        found.append(f"Next: do not read single edges from this fit; {ADVICE[told.judged_by]}.")
    elif told.judged_by == OTHER_HALF:
        found.append("Next: give batches or replicates (batch_key=...), so that whole trajectories can be left out.")
    else:
        found.append("Next: test single edges by perturbations or knockouts; held-out prediction tests none.")
    missed = told.following[told.following["r2"] < WELL_FOLLOWED] if len(told.following) else told.following
    if len(missed):
        names = ", ".join(str(name) for name in missed["lineage"])
        where = f" of {names}" if len(told.following) > 1 else ""
        found.append(
            f"WARNING: less than {WELL_FOLLOWED:.0%} of the mean trajectory{where} is followed: do not read the velocity "
            "before looking at scdash.pl.trends."
        )
    return found
