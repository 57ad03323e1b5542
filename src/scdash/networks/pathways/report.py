"""What a table of pathways says, in words: beyond chance, beyond the controls, and stable or not."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from scdash._core.display import first_names
from scdash.networks.pathways.controls import TIME

ALPHA = 0.05
NAMED = 5  # sets named in a sentence


def in_control(table: pd.DataFrame) -> pd.Series:
    """Return for every row whether its set is significant in a control."""
    return table["pathway"].isin(_found(table[table["control"]]))


def pathway_report(
    table: pd.DataFrame, fits: Sequence[str], controls: Sequence[str], agreement: Mapping[str, Mapping[str, float]]
) -> str:
    """Say for every fit how many sets stand out, how many a control finds too, and what that allows to conclude."""
    lines = [_count(table, name, controls if name in fits else ()) for name in (*fits, *controls)]
    lines += [_stability(name, found) for name, found in agreement.items()]
    return "\n".join([*lines, *_verdict(table, fits, controls)])


def _found(table: pd.DataFrame) -> set[str]:
    return set(table.loc[table["bonferroni"] <= ALPHA, "pathway"].astype(str))


def _count(table: pd.DataFrame, name: str, controls: Sequence[str]) -> str:
    part = table[table["fit"] == name]
    found = _found(part)
    line = f"{name}: {len(found)} of {len(part)} sets at 5 % (Bonferroni), {(part['fdr_bh'] <= ALPHA).sum()} at 5 % FDR"
    if found and controls:
        shared = {other: found & _found(table[table["fit"] == other]) for other in controls}
        line += "; " + ", ".join(f"{len(both)} of them also by {other}" for other, both in shared.items())
        line += f", {len(found - set().union(*shared.values()))} by no control"
    return line


def _stability(name: str, found: Mapping[str, float]) -> str:
    if found.get("models", 1) < 2:
        return f"{name}: one model, so nothing is known about how stable this is; fit with n_models > 1 and other rng."
    return (
        f"{name}: two of its {found['models']:.0f} models agree on {found['top_overlap']:.1f} of the top "
        f"{found['top']:.0f} genes (chance {found['chance_overlap']:.1f}), rank correlation {found['rank_correlation']:.2f}"
    )


def _verdict(table: pd.DataFrame, fits: Sequence[str], controls: Sequence[str]) -> list[str]:
    own, known = table[table["fit"].isin(fits)], _found(table[table["control"]])
    found = _found(own)
    if not found:
        lines = ["No fit finds a set beyond chance: do not read the order of the table as a finding."]
        by_time = _found(table[table["fit"].str.startswith(TIME) & table["control"]])
        if by_time:
            lines.append(
                f"{TIME.capitalize()} alone finds {_named(table[table['pathway'].isin(by_time)])}: the data show these "
                "sets changing, the influences say nothing about them."
            )
        return lines
    if not controls:
        return ["No control was tested: whether the prior or plain change over time finds the same is not known."]
    if found <= known:
        return [
            "Every set found is found by a control as well: prior knowledge or plain change over time, not a discovery "
            "of the model."
        ]
    return [
        f"{name}, beyond the controls: {_named(part[part['pathway'].isin(_found(part) - known)])}."
        for name in fits
        if _found(part := own[own["fit"] == name]) - known
    ]


def _named(part: pd.DataFrame) -> str:
    """Name the sets with the smallest p, and say which of an ensemble's do not hold over its models."""
    best = part.sort_values("p_value", kind="stable").drop_duplicates("pathway")
    shown = [f"{row['pathway']}{_unsettled(row.to_dict())}" for _, row in best.iterrows()]
    return first_names(shown, NAMED, " and {} more")


def _unsettled(row: Mapping[Any, Any]) -> str:
    spread = row.get("z_spread")
    return " (not in every model)" if spread is not None and abs(row["z"]) < 2 * spread else ""
