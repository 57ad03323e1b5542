"""Stored results are those that the present scripts make, and pages show what is stored."""

import argparse
import re
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("torch")

from benchmarks import readme_tables, sim350
from benchmarks.perturbode import PARTS, SCREENS, all_jobs

FOLDER = Path(readme_tables.__file__).parent


@pytest.mark.parametrize("page", readme_tables.PAGES, ids=lambda page: page.name)
def test_pages_show_the_stored_numbers(page: Path) -> None:
    text = page.read_text()
    assert readme_tables.filled(text) == text, "run `python -m benchmarks.readme_tables`"
    assert all(f"<!-- {name}: made by" in text for name in readme_tables.PAGES[page])


def test_another_number_is_another_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sim350.csv", "matching_sim350_runs.csv", "screens_real.csv", "sbnn.csv"):
        table = pd.read_csv(FOLDER / name)
        changed = [column for column in table if "mse" in column or "aupr" in column or column == "mean"]
        table.assign(**{column: table[column] + 0.01 for column in changed}).to_csv(tmp_path / name)
    monkeypatch.setattr(readme_tables, "HERE", tmp_path)
    text = readme_tables.README.read_text()
    changed = readme_tables.filled(text)
    assert readme_tables.filled(changed) == changed
    for name in readme_tables.PAGES[readme_tables.README]:
        assert readme_tables.PARTS[name]() not in text, name


def test_every_row_shows_one_model() -> None:
    stored = pd.read_csv(FOLDER / "sim350.csv")
    stored = stored[(stored["noise"] == readme_tables.NOISE) & (stored["moved"] == readme_tables.MOVED)]
    lines = readme_tables.sim350().splitlines()[2:]
    for line, (strategy, text) in zip(lines, readme_tables.STRATEGIES.items(), strict=False):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        row = stored[stored["strategy"] == strategy].iloc[0]
        assert cells[:2] == [text, str(int(row["seeds"]))]
        assert cells[2:4] == [f"{100 * row[name]:.1f} %" for name in ("balanced_accuracy_mean", "sparsity_mean")]
        assert float(cells[4]) == pytest.approx(1e3 * row["test_mse_mean"], abs=0.006)


def test_all_eight_strategies_of_the_paper_are_shown_beside_it() -> None:
    published = {f"paper: {strategy}" for strategy, noise in sim350.PAPER if noise == readme_tables.NOISE}
    published = {strategy for strategy in published if not strategy.endswith("prior loss")}  # Table 6
    assert len(published) == 8 and published < set(readme_tables.STRATEGIES)


def test_every_table_of_the_papers_has_a_command_or_says_what_is_missing() -> None:
    rows = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| ")][2:]
    for row in rows:
        command, status = (cell.strip() for cell in row.strip("|").split("|")[2:4])
        names = re.findall(r"`benchmarks\.(\w+)", command)
        assert names or status.startswith("not possible"), row
        assert all((FOLDER / f"{name}.py").exists() or (FOLDER / name / "__main__.py").exists() for name in names), row


def test_rows_of_screens_are_those_of_present_jobs() -> None:
    options = argparse.Namespace(only=list(SCREENS), parts=list(PARTS), methods=None, folds=[0, 1, 2, 3, 4], seeds=3)
    known: dict[str, set[tuple[str, ...]]] = {}
    columns: dict[str, list[str]] = {}
    for job in all_jobs(options):
        columns[job.table] = list(job.key)
        known.setdefault(job.table, set()).add(tuple(str(value) for value in job.key.values()))
    for name, keys in known.items():
        stored = pd.read_csv(FOLDER / "results" / "perturbode" / f"{name}.csv", dtype=str, keep_default_na=False)
        rows = set(stored[columns[name]].itertuples(index=False, name=None))
        assert rows - keys == set(), name


@pytest.mark.parametrize("name", ["sim350.csv", "sim350_runs.csv"])
def test_strategies_of_sim350_are_those_of_present_jobs(name: str) -> None:
    known = set()
    for function, arguments, _ in sim350.jobs(5, full=True):
        if function is sim350.paper_stack:
            known |= {f"paper: {strategy}" for strategy in arguments[1]}
        elif function is sim350.penalised:
            known.add(f"paper: {arguments[0]}")
        else:
            known.add(arguments[-1])
    assert set(pd.read_csv(FOLDER / name)["strategy"]) - known == set()
