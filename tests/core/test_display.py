"""Results say something of themselves when they are printed or end a notebook cell."""

import builtins
import sys

import pandas as pd
import pytest

import scdash
from scdash._core.display import aligned, as_html, as_text
from scdash._core.logging import progress_bar


def test_facts_are_aligned_and_escaped():
    assert as_text("Title", [("a", "1"), ("long", "2")]) == "Title\n  a     1\n  long  2"
    assert "&lt;b&gt;" in as_html("<b>", [("<i>", "x")]) and "<i>" not in as_html("t", [("<i>", "x")])


def test_columns_of_a_small_table_are_aligned():
    assert aligned([("a", "1", ""), ("long", "12", "(x)")]) == ["  a     1", "  long  12  (x)"]


@pytest.fixture(scope="module")
def fit():
    adata = scdash.simulate.grn_dynamics(n_genes=9, n_trajectories=8, rng=0)
    scdash.tl.fit_dynamics(
        adata, adata.uns["prior"], time_key="time", trajectory_key="trajectory", progress=False,
        training=scdash.Training(max_epochs=0),
    )  # fmt: skip
    return adata


def test_a_model_names_its_genes_and_how_to_call_it(fit):
    model = scdash.get.model(fit)
    for text in (repr(model), model._repr_html_()):
        assert "dx/dt of 9 genes" in text and str(model.genes[0]) in text and "(cells, 9)" in text
    assert len(repr(model)) < 1000


def test_settings_are_a_dictionary_that_is_short_when_printed(fit):
    found = scdash.get.settings(fit)
    assert isinstance(found, dict) and isinstance(found["prior"], pd.DataFrame)
    for text in (repr(found), found._repr_html_()):
        assert (
            f"table of {len(found['prior'])} edges" in text and "9 genes: " in text and "Training(max_epochs=0)" in text
        )
    assert "defaults" in repr(type(found)())
    assert "verbosity=" in repr(scdash.settings)


def test_a_report_begins_with_the_verdict(fit):
    report = scdash.get.report(fit)
    first = report.attrs["summary"].splitlines()[0]
    assert repr(report).startswith(first)
    assert report._repr_html_().startswith("<div><p><strong>") and "</table>" in report._repr_html_()
    assert str(report["predictor"].iloc[0]) in report._repr_html_()
    assert type(report.head(2)) is pd.DataFrame and type(report[["predictor"]]) is pd.DataFrame
    pd.testing.assert_frame_equal(pd.DataFrame(report), report.copy())


@pytest.mark.parametrize("ipywidgets", [True, False])
def test_a_progress_bar_in_a_notebook_writes_nothing_to_standard_error(monkeypatch, capsys, *, ipywidgets):
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    if not ipywidgets:
        monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with progress_bar(3, "fitting", progress=True) as bar:
        bar.update()
    found = capsys.readouterr()
    assert found.err == "" and "fitting" in found.out


def test_a_progress_bar_of_a_script_goes_to_standard_error(capsys):
    with progress_bar(3, "fitting", progress=True) as bar:
        bar.update()
    found = capsys.readouterr()
    assert found.out == "" and "fitting" in found.err
