"""Names of guides to the genes that they target."""

import re
from collections.abc import Collection, Mapping, Sequence

from scdash._core.labels import CONTROL_GUIDES
from scdash._core.logging import logger

PREFIX = re.compile(r"^(?:[pm]_)?(?:sg(?:RNA)?[-_. ]?(?=\w))?")
FORMS: dict[str, str] = {
    "GENEg1, GENE_sg1, GENE-guide-1": r"^(.+?)[-_. ]?(?:sg(?:RNA)?|g(?:uide|RNA)?)[-_. ]?\d+$",
    "GENE_+_74376132.23-P1P2": r"^(.+?)_[+-]_\d.*$",
    "GENE_ACGTACGTACGTACGTACGT": r"^(.+?)(?:[-_. ]\d+)?[-_. ][ACGTN]{15,}$",
    "GENE (1)": r"^(.+?)\s*\(\d+\)$",
    "GENE_1, GENE-1, GENE.1": r"^(.+?)[-_. #:]+\d+$",
}
"""Forms of a guide's name, each with the gene as its group; the form that most guides of a library have is used."""


def genes_of_guides(
    names: Sequence[str],  # names of guides
    genes: Collection[str],  # genes of the data: a guide that has the name of one of them is that gene
    *,
    pattern: str | None = None,
    controls: str = CONTROL_GUIDES,  # regular expression of control guides, in any case
    targets: Mapping[str, str] | None = None,
) -> dict[str, str | None]:
    """Return the gene that each guide targets, None for control guides.

    `pattern`: regular expression with the gene as its first group, or as the group `gene`; None: the form in `FORMS`
    that most of the names have. `targets`: gene, or a name that `controls` matches, of each guide; it comes before the
    patterns.
    """
    nothing, known = _compiled(controls, "control_pattern", re.IGNORECASE), dict(targets or {})
    found: dict[str, str | None] = {}
    for name in names:
        if name in known:
            found[name] = None if nothing.search(known[name]) else known[name]
        elif nothing.search(name) and name not in genes:
            found[name] = None
    rest = [name for name in names if name not in found]
    if pattern is not None:
        return found | _by_pattern(rest, _compiled(pattern, "pattern"))
    return found | _by_form(rest, genes)


def _by_pattern(names: Sequence[str], pattern: re.Pattern[str]) -> dict[str, str | None]:
    """Return the gene of each name by the user's pattern, which must match every name."""
    if not pattern.groups:
        raise ValueError(f"pattern={pattern.pattern!r} has no group for the gene, such as '^(.+)_g[0-9]+$'.")
    group: str | int = "gene" if "gene" in pattern.groupindex else 1
    matches = {name: pattern.search(name) for name in names}
    lost = [name for name, match in matches.items() if match is None or not match[group]]
    if lost:
        raise ValueError(
            f"pattern={pattern.pattern!r} finds no gene in {len(lost)} of {len(names)} guide names, such as "
            f"{', '.join(map(repr, lost[:5]))}; control guides are named by control_pattern."
        )
    return {name: match[group] for name, match in matches.items() if match is not None}


def _by_form(names: Sequence[str], genes: Collection[str]) -> dict[str, str | None]:
    """Return the gene of each name by the form that most names have; a name that is a gene of the data is that gene."""
    unclear = [name for name in names if name not in genes]
    counts = {form: sum(re.match(regex, name) is not None for name in unclear) for form, regex in FORMS.items()}
    form = max(counts, key=lambda one: counts[one]) if unclear else None
    if form is None or not counts[form]:
        return {name: name if name in genes else PREFIX.sub("", name) or name for name in names}
    logger.info("    %d of %d guide names have the form %s", counts[form], len(unclear), form)
    found: dict[str, str | None] = {}
    for name in names:
        match = re.match(FORMS[form], name)
        whole = name if name in genes or match is None else match[1]
        found[name] = whole if whole in genes else PREFIX.sub("", whole) or whole
    return found


def _compiled(pattern: str, argument: str, flags: int = 0) -> re.Pattern[str]:
    """Return a compiled pattern, or an error that names the argument."""
    try:
        return re.compile(pattern, flags)
    except re.error as error:
        raise ValueError(f"{argument}={pattern!r} is no regular expression: {error}.") from error
