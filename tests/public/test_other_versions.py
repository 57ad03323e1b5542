"""Stored fits of other versions: missing settings take the default of their time, unknown formats name both versions."""

import numpy as np
import pytest

import scdash
from scdash._core.fit_record import FORMAT, FitFormatError, Record, open_record, stamp
from scdash._core.trajectories import StoredTrajectories

ENTRY = {
    "params": {"layer": "scaled", "versions": {"scdash": "0.0.7"}},
    "edges": 0,
    "series": {"trajectory": np.array(["a", "a#1", "b#1"])},
}


def opened(**changed):
    return open_record(ENTRY | changed, "adata.uns['dynamics']", "scdash.tl.fit_dynamics(adata)")


def test_missing_settings_have_defaults_and_stored_ones_stand():
    entry = opened(format=FORMAT)
    assert entry["params"]["layer"] == "scaled" and entry["params"]["slope"] == 1.0
    assert entry["params"]["time_key"] == "dpt_pseudotime"
    assert "slope" not in ENTRY["params"]  # what is stored does not change


def test_another_format_names_both_versions_and_the_remedy():
    for number in (FORMAT + 1, 99, np.int64(99), "later"):
        with pytest.raises(
            FitFormatError, match=r"scdash 0\.0\.7 \(format .*this is scdash .*Fit again with `scdash\.tl"
        ):
            opened(format=number)
    assert isinstance(opened(format=np.int64(FORMAT)), Record)


def test_what_has_no_default_is_an_error_that_names_versions():
    entry = opened(format=FORMAT)
    for missing in (lambda: entry["weights"], lambda: entry["params"]["field"], lambda: entry["series"]["states"]):
        with pytest.raises(FitFormatError, match="written by scdash 0.0.7.*It holds no"):
            missing()
    assert entry.get("weights") is None


def test_names_tell_resampled_trajectories_in_format_1_only():
    old, new = opened(), opened(format=FORMAT)
    assert StoredTrajectories.of(old["series"]).originals == ["a", "b#1"]
    assert StoredTrajectories.of(old["series"]).resampled("a") == ["a#1"]
    assert StoredTrajectories.of(new["series"]).originals == ["a", "a#1", "b#1"]


def test_every_result_is_stamped(tmp_path):
    from .cases import drawn, modules, screen_fit

    slots = {
        drawn: ["dynamics", "dynamics_influence", "dynamics_perturbation_scores", "pathways", "dynamics_shift"],
        screen_fit: ["dynamics"],
        modules: ["dynamics_modules"],
    }
    for data, names in slots.items():
        for name in names:
            assert data().uns[name]["format"] == FORMAT == stamp({})["format"]


def readers():
    from .cases import DRAWING, RETURNING, WRITING

    without = {
        "pl.embedding",
        "pl.history",
        "pl.knockout_trends",
        "pl.knockout_volcano",
        "pl.sparsity_path",
    }  # read no result, or a table
    slow = {"pl.sbnn", "pl.training", "pl.feature_scores", "pl.gene_selection", "get.selected_genes"}
    reading = {"tl.modules", "tl.network_stats", "tl.coregulation", "tl.gene_influence", "tl.perturbation_scores",
               "tl.perturbation_shift", "tl.pathways", "tl.perturb", "tl.predict", "tl.predict_perturbations"}  # fmt: skip
    every = WRITING | RETURNING | DRAWING
    for name in sorted(every):
        if name in without or (name[:2] not in ("pl", "ge") and name not in reading):
            continue
        yield pytest.param(name, every[name], marks=pytest.mark.slow) if name in slow else (name, every[name])


def call(name, case, data):
    import matplotlib.pyplot as plt

    from .cases import public

    plt.switch_backend("Agg")
    try:
        return case.call(public(name), data, **({"show": False} if name.startswith("pl.") else {}))
    finally:
        plt.close("all")


@pytest.mark.parametrize(("name", "case"), readers())
def test_every_reader_refuses_a_later_format_and_reads_an_earlier_one(name, case):
    later, earlier = case.data(), case.data()
    for data, number in ((later, 99), (earlier, None)):
        for slot, entry in list(data.uns.items()):
            if isinstance(entry, dict) and "format" in entry:
                data.uns[slot] = {k: v for k, v in entry.items() if k != "format"} | ({"format": 99} if number else {})
    with pytest.raises(FitFormatError, match="which reads formats up to"):
        call(name, case, later)
    call(name, case, earlier)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), readers())
def test_every_reader_does_without_a_setting_or_names_the_version(name, case):
    whole = case.data()
    for slot, entry in list(whole.uns.items()):
        if not isinstance(entry, dict) or "params" not in entry or name in ("tl.gene_influence", "tl.pathways"):
            continue
        for setting in entry["params"]:
            data = whole.copy()
            data.uns[slot] = entry | {"params": {k: v for k, v in entry["params"].items() if k != setting}}
            try:
                call(name, case, data)
            except FitFormatError as error:
                assert "written by scdash" in str(error)


def test_stability_of_a_screen_does_without_a_setting():
    from .cases import screen_fit

    whole = screen_fit().uns["dynamics"]["params"]
    read = []
    for setting in whole:
        data = screen_fit()
        del data.uns["dynamics"]["params"][setting]
        try:
            read.append(len(scdash.tl.stability(data, n_repeats=2)) > 0)
        except FitFormatError as error:
            assert "written by scdash" in str(error) and setting in str(error)
    assert len(read) >= len(whole) - 5


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="needs the texts of NumPy 2")
def test_texts_of_zarr_are_read_as_those_of_h5ad():
    texts = np.array(["one", "two"], dtype=np.dtypes.StringDType())
    found = opened(
        genes=texts,
        series={"trajectory": texts, "time": np.zeros(2), "origin": texts},
        given={"prior": {"source": texts}},
    )
    for read in (found["genes"], found["series"]["trajectory"], found["given"]["prior"]["source"]):
        assert read.dtype == object and read.astype(str).tolist() == ["one", "two"]
    assert texts.dtype.kind == "T"  # what is stored stays as it is
