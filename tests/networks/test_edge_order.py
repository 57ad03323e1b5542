"""Edges are ordered by what the data say, never by name or by the prior; what nothing tells apart shares a rank."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._core.edges import order
from scdash._core.edges.order import CRITERIA, association, n_tied, rank_edges, ranked_by
from scdash._core.edges.time_course_association import ShrunkenCorrelations, TimeCourse, unit_columns

EQUAL = ["g04", "g05", "g01", "g00", "g03", "g02"]  # six equal edges


def table(score, weight=0.0, names=None, **columns):
    count = len(score)
    names = names or [f"g{i:02d}" for i in range(count)]
    return pd.DataFrame({"source": names, "target": names[::-1], "weight": weight, "score": score, **columns})


def test_ties_are_broken_by_data_in_a_fixed_order():
    edges = table(
        [0.5] * 6,
        stability=[0.1, 0.2, 0.1, 0.1, 0.1, 0.1],
        contribution=[0.3, 0.0, 0.4, 0.3, 0.3, 0.3],
        weight=[1.0, 0, 0, -2.0, 1.0, 1.0],
        association=[0.2, 0, 0, 0, 0.9, 0.2],
    )
    found = rank_edges(edges)
    assert found["source"].tolist()[:4] == ["g01", "g02", "g03", "g04"]
    assert set(found["source"].tolist()[4:]) == {"g00", "g05"}
    assert found["rank"].tolist() == [1, 2, 3, 4, 5, 5] and n_tied(found) == 2


def test_names_order_of_rows_and_the_prior_decide_nothing():
    rng = np.random.default_rng(0)
    edges = table([0.5] * 200, in_prior=np.arange(200) < 100)
    found = rank_edges(edges)
    assert (found["rank"] == 1).all() and n_tied(found) == 200
    first = found.head(100)
    assert 30 < first["in_prior"].sum() < 70
    assert 30 < (first["source"].str[1:].astype(int) < 100).sum() < 70
    again = rank_edges(edges.iloc[rng.permutation(200)])
    pd.testing.assert_frame_equal(found, again)  # the same whatever the order of the rows


def test_score_comes_first_and_missing_values_last():
    found = rank_edges(table([0.1, 0.9, 0.5, 0.5], selection_frequency=[1.0, 0.0, np.nan, 0.0]))
    assert found["source"].tolist() == ["g01", "g03", "g02", "g00"]
    assert rank_edges(table([])).empty


def left_of(y, own):
    """Return what a regression on one column leaves of another."""
    own = np.column_stack([np.ones(len(own)), own])
    return y - own @ np.linalg.lstsq(own, y, rcond=None)[0]


def partial(driver, before, after, s, t):
    """Return the absolute correlation of a driver with the next state, given the target's own state, from residuals."""
    return abs(np.corrcoef(left_of(driver[:, s], before[:, t]), left_of(after[:, t], before[:, t]))[0, 1])


def given_all(driver, before, after, s, t):
    """Return the same given all other columns of the driver, by the formula of `with_response`."""
    own = left_of(after[:, t], before[:, t])
    shrunk, intensity = shrunken(driver)
    inverse = np.linalg.inv(shrunk)
    r = (1 - intensity) * np.array([np.corrcoef(column, own)[0, 1] for column in driver.T])
    return abs((inverse @ r)[s]) / np.sqrt(inverse[s, s])


def memory_of(before, after):
    return np.mean([max(np.corrcoef(before[:, g], after[:, g])[0, 1], 0) for g in range(before.shape[1])])


def mixed(states, before, after, s, t):
    """Return the docstring's formula of `TimeCourse.association`, from its measures one by one."""
    memory, middle = memory_of(before, after), (before + after) / 2
    rates = [measure(before, before, after, s, t) for measure in (partial, given_all)]
    levels = [measure(middle, before, after, s, t) for measure in (partial, given_all)]
    levels += [abs(np.corrcoef(states[:, s], states[:, t])[0, 1]), abs(partials(states)[s, t])]
    return (memory * sum(rates) / 3 + (1 - memory) * np.mean(levels)) / (1 - memory / 3)


def shrunken(x):
    """Return the shrunken correlation matrix of Schaefer and Strimmer (2005), one pair at a time, and its intensity."""
    rows, columns = x.shape
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    r = np.corrcoef(x.T)
    variance = squares = 0.0
    for i in range(columns):
        for j in range(columns):
            if i != j:
                w = z[:, i] * z[:, j]
                variance += rows / (rows - 1) ** 3 * ((w - w.mean()) ** 2).sum()
                squares += r[i, j] ** 2
    intensity = min(1.0, variance / squares)
    return (1 - intensity) * r + intensity * np.eye(columns), intensity


def partials(x):
    inverse = np.linalg.inv(shrunken(x)[0])
    found = -inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
    np.fill_diagonal(found, 1)
    return found


@pytest.mark.parametrize(("rows", "columns"), [(12, 5), (8, 30), (300, 4)])
def test_partial_correlations_are_those_of_the_shrunken_matrix(rows, columns):
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns)) + 100
    s, t = (side.ravel() for side in np.meshgrid(range(columns), range(columns), indexing="ij"))
    np.testing.assert_allclose(ShrunkenCorrelations(x).partial(s, t), partials(x)[s, t], atol=1e-9)
    flat = ShrunkenCorrelations(np.column_stack([x[:, 0], np.ones(rows)]))
    assert np.isnan(flat.partial(np.array([0]), np.array([1])))
    assert np.isnan(flat.with_response(unit_columns(x[:, [1]]), np.array([1]), np.array([0])))


@pytest.mark.parametrize(("rows", "columns"), [(12, 5), (8, 30), (300, 4)])
def test_correlations_with_a_response_are_those_of_the_shrunken_matrix(rows, columns):
    rng = np.random.default_rng(rows)
    before = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns)) + 100
    after = before + rng.normal(size=before.shape)
    pairs = [(s, t) for s in range(columns) for t in range(3) if s != t]
    own = np.column_stack([left_of(after[:, t], before[:, t]) for t in range(3)])
    s, t = np.array(pairs).T
    expected = [given_all(before, before, after, *pair) for pair in pairs]
    found = ShrunkenCorrelations(before).with_response(unit_columns(own), s, t)
    np.testing.assert_allclose(abs(found), expected, atol=1e-9)


def course(interval, *, steps=12, seed=0, relaxation=1.0):
    """Return the course of a gene that follows another one, which changes its level at every sample."""
    rng = np.random.default_rng(seed)
    source, target = rng.random(steps), np.zeros(steps)
    keep = np.exp(-relaxation * interval)
    for k in range(steps - 1):
        target[k + 1] = keep * target[k] + (1 - keep) * (source[k] + source[k + 1]) / 2
    series = {"time": interval * np.arange(steps), "trajectory": ["a"] * steps, "split": ["train"] * steps}
    return {"genes": ["0", "1"], "series": series | {"states": np.column_stack([source, target])}}


def course_of(entry):
    series = entry["series"]
    used = np.array([label != "test" for label in series["split"]])
    return TimeCourse.of(np.asarray(series["states"]), series["time"], series["trajectory"], used)


def test_states_forget_with_the_interval_between_samples():
    """The memory is the mean correlation of a gene's states before and after a step, and only rates have its weight."""
    slow, fast = (course_of(course(interval, steps=400)) for interval in (0.1, 10.0))
    assert slow.memory == pytest.approx(memory_of(slow.before, slow.after))
    assert slow.memory > fast.memory + 0.2 and slow.weight == pytest.approx(1 - slow.memory / 3)
    assert course_of(course(1.0, steps=3)).weight == pytest.approx(2 / 3)  # too few steps to say anything
    flat = course(0.1, steps=400)
    flat["series"]["states"] = np.column_stack([flat["series"]["states"], np.full(400, 0.3)])
    assert course_of(flat).memory == pytest.approx(slow.memory)  # a gene that does not vary has none


def test_a_sample_that_two_trajectories_begin_with_counts_once():
    rng = np.random.default_rng(4)
    states = rng.random((6, 3))
    time, split = np.array([0.0, 1, 2, 3, 4, 5]), ["train"] * 7
    whole = {"states": states[[0, 1, 2, 3, 1, 4, 5]], "time": time[[0, 1, 2, 3, 1, 2, 3]], "split": split}
    entry = {"genes": list("abc"), "series": whole | {"trajectory": ["p"] * 4 + ["q"] * 3}}
    edges = pd.DataFrame({"source": ["a", "b"], "target": ["b", "c"]})
    first, second = [0, 1, 2, 1, 4], [1, 2, 3, 4, 5]
    expected = [mixed(states, states[first], states[second], s, t) for s, t in ((0, 1), (1, 2))]
    np.testing.assert_allclose(association(edges, entry), expected)


def test_association_of_cells_is_their_stored_correlation():
    entry = {
        "genes": list("abc"),
        "correlation": {"sources": ["b", "a"], "values": np.array([[-0.5, 1, 0.2], [1, -0.5, 0.1]])},
    }
    edges = pd.DataFrame({"source": ["a", "b", "c"], "target": ["b", "c", "a"]})
    np.testing.assert_allclose(association(edges, entry), [0.5, 0.2, np.nan])


def test_association_of_time_courses_is_given_the_targets_own_state():
    rng = np.random.default_rng(1)
    states = rng.random((12, 3))
    entry = {
        "genes": ["a", "b", "c"],
        "series": {
            "states": states,
            "time": np.tile(np.arange(6.0), 2),
            "trajectory": np.repeat(["x", "y"], 6),
            "split": ["train"] * 10 + ["test"] * 2,
        },
    }
    steps = [0, 1, 2, 3, 4, 6, 7, 8]
    before, after = states[steps], states[np.add(steps, 1)]
    edges = pd.DataFrame({"source": ["a", "c", "b"], "target": ["b", "a", "b"]})
    expected = [mixed(states[:10], before, after, s, t) for s, t in ((0, 1), (2, 0))]
    np.testing.assert_allclose(association(edges, entry), [*expected, np.nan])  # no gene is given its own state twice


def test_association_of_screens_leaves_out_perturbations_of_the_target():
    rng = np.random.default_rng(2)
    change = rng.normal(size=(7, 2))
    targets = np.zeros((7, 2), bool)
    targets[3, 1] = targets[5, 1] = True
    entry = {"genes": ["a", "b"], "screen": {"change": change, "targets": sp.csr_matrix(targets.astype(np.int8))}}
    rows = [0, 1, 2, 4, 6]
    (found,) = association(pd.DataFrame({"source": ["a"], "target": ["b"]}), entry)
    assert found == pytest.approx(abs(np.corrcoef(change[rows].T)[0, 1]))


def test_every_criterion_decides_in_its_turn():
    """Each table differs in one column alone, and in the column after it the other way round."""
    for k, name in enumerate(CRITERIA):
        later = {after: [0.9, 0.1, 0.5] for after in CRITERIA[k + 1 :]}
        found = rank_edges(table([0.5] * 3, **{"weight": 0.0} | later | {name: [0.1, -0.9, 0.5]}))
        assert found["source"].tolist() == ["g01", "g02", "g00"], name
        assert found["rank"].tolist() == [1, 2, 3]
        other = rank_edges(table([0.5] * 3, **{"weight": 0.0} | {name: [0.9, 0.1, 0.5]}))
        assert other["source"].tolist() == ["g00", "g02", "g01"], name
    assert CRITERIA == ("stability", "selection_frequency", "contribution", "weight", "total_effect", "association")


def test_missing_values_are_behind_zero_and_equal_to_each_other():
    found = rank_edges(table([0.5] * 4, stability=[np.nan, 0.0, np.nan, -0.1]))
    assert found["source"].tolist()[:2] == ["g03", "g01"]
    assert found["rank"].tolist() == [1, 2, 3, 3]
    assert rank_edges(table([-0.5, np.nan, 0.0]))["source"].tolist() == ["g02", "g00", "g01"]  # a score keeps its sign


def test_ranks_are_whole_numbers_from_1_and_rows_are_numbered_anew():
    edges = table([0.2, 0.9, 0.2, 0.9, 0.1])
    edges.index = [7, 7, 3, 1, 0]
    found = rank_edges(edges)
    assert found["rank"].tolist() == [1, 1, 3, 3, 5]
    assert found.index.tolist() == [0, 1, 2, 3, 4]
    assert found["rank"].dtype == np.int64 and list(found) == [*edges, "rank"]
    none = rank_edges(edges.iloc[:0])
    assert list(none) == [*edges, "rank"] and none["rank"].dtype == np.int64 and none.index.tolist() == []
    assert n_tied(found) == 4 and isinstance(n_tied(found), int)


def test_the_order_of_equal_edges_is_random_and_the_same_at_every_call():
    edges = table([0.5] * 6)
    assert rank_edges(edges)["source"].tolist() == EQUAL
    assert rank_edges(edges.iloc[::-1])["source"].tolist() == EQUAL
    by_target = edges.assign(source="a")
    assert rank_edges(by_target)["target"].tolist() == rank_edges(by_target.iloc[::-1])["target"].tolist()
    labels = edges.assign(source=edges["source"].astype("category"), target=edges["target"].astype("category"))
    assert rank_edges(labels)["source"].tolist() == EQUAL
    numbers = edges.assign(source=[1, 2, 3, 4, 5, 10], target=[6, 7, 8, 9, 11, 12])  # names of genes may be numbers
    assert len(rank_edges(numbers)) == 6


def trajectories(split=("train",) * 8, names=("x",) * 4 + ("y",) * 4, genes=3):
    """Return the entry of a fit of two trajectories whose rows are not in order."""
    rng = np.random.default_rng(4)
    times = np.array([3.0, 0.0, 2.0, 1.0, 1.0, 3.0, 0.0, 2.0])
    series = {"states": rng.random((8, genes)), "time": times, "trajectory": list(names), "split": list(split)}
    return {"genes": [f"{k}" for k in range(genes)], "series": series}


def steps_of(entry, pairs):
    return [entry["series"]["states"][[pair[k] for pair in pairs]] for k in range(2)]


def test_steps_are_between_states_that_are_not_for_test_in_order_of_time():
    entry = trajectories(split=["train", "train", "test", "train", "train", "train", "validation", "train"])
    before, after = steps_of(entry, [(1, 3), (3, 0), (6, 4), (4, 7), (7, 5)])
    edges = pd.DataFrame({"source": ["0", "1", "2"], "target": ["1", "2", "0"]})
    learned = np.array(entry["series"]["split"]) != "test"
    states = entry["series"]["states"][learned]
    expected = [mixed(states, before, after, s, t) for s, t in ((0, 1), (1, 2), (2, 0))]
    np.testing.assert_allclose(association(edges, entry), expected)


def test_association_is_computed_in_double_precision():
    """Stored states are float32, and far from zero beside what they change by."""
    entry = trajectories()
    entry["series"]["states"] = (1000 + entry["series"]["states"]).astype(np.float32)
    exact = trajectories()
    exact["series"]["states"] = entry["series"]["states"].astype(np.float64)
    edges = pd.DataFrame({"source": ["0", "1"], "target": ["1", "2"]})
    np.testing.assert_allclose(association(edges, entry), association(edges, exact), rtol=1e-12)
    change = (1000 + np.random.default_rng(3).normal(size=(6, 2))).astype(np.float32)
    screens = [
        {"genes": ["0", "1"], "screen": {"change": values, "targets": sp.csr_matrix(np.zeros((6, 2), np.int8))}}
        for values in (change, change.astype(np.float64))
    ]
    found = [association(edges.iloc[:1], screen) for screen in screens]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_genes_and_trajectories_may_be_named_by_numbers():
    entry = trajectories(names=[1] * 4 + [2] * 4)
    entry["genes"] = [0, 1, 2]
    edges = pd.DataFrame({"source": [0, 1], "target": [2, 0]}).astype("category")
    before, after = steps_of(entry, [(1, 3), (3, 2), (2, 0), (6, 4), (4, 7), (7, 5)])
    expected = [mixed(entry["series"]["states"], before, after, s, t) for s, t in ((0, 2), (1, 0))]
    np.testing.assert_allclose(association(edges, entry), expected)


def test_association_is_missing_where_there_is_nothing_to_correlate():
    edges = pd.DataFrame({"source": ["0", "1"], "target": ["1", "2"]})
    nothing = association(edges, {"genes": ["0", "1", "2"]})
    assert nothing.shape == (2,) and np.isnan(nothing).all() and nothing.dtype == np.float64
    short = trajectories(split=["train"] * 2 + ["test"] + ["train"] + ["test"] * 4)  # two steps
    assert association(edges, short).shape == (2,) and np.isnan(association(edges, short)).all()
    five = trajectories(split=["train"] * 7 + ["test"])  # five steps
    assert np.isfinite(association(edges, five)).all()
    for value in (0.1, 0.5, 0.7):  # the mean of equal numbers may differ from them in the last digit
        flat = trajectories()
        flat["series"]["states"][:, 0] = value
        found = association(pd.DataFrame({"source": ["0", "1", "1"], "target": ["1", "0", "2"]}), flat)
        assert np.isnan(found[:2]).all() and np.isfinite(found[2])


def test_the_order_of_time_decides_of_many_steps():
    """A gene that follows another has the other as its source, and not the reverse, and no gene that only falls like it."""
    rng = np.random.default_rng(0)
    states = np.zeros((60, 2))
    states[:, 0] = np.repeat(rng.random(12), 5)
    for k in range(59):
        states[k + 1, 1] = 0.7 * states[k, 1] + 0.3 * states[k, 0]
    states += 0.01 * rng.normal(size=states.shape)
    series = {"states": states, "time": np.arange(60.0), "trajectory": ["a"] * 60, "split": ["train"] * 60}
    edges = pd.DataFrame({"source": ["0", "1"], "target": ["1", "0"]})
    there, back = association(edges, {"genes": ["0", "1"], "series": series})
    assert there > back + 0.1


def test_a_target_that_is_perturbed_everywhere_has_no_association():
    change = np.random.default_rng(2).normal(size=(6, 3))
    targets = np.zeros((6, 3), dtype=np.int8)
    targets[:, 1] = 1
    entry = {"genes": ["a", "b", "c"], "screen": {"change": change, "targets": sp.csr_matrix(targets)}}
    found = association(pd.DataFrame({"source": ["a", "a", "b"], "target": ["b", "c", "c"]}), entry)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [abs(np.corrcoef(change[:, k], change[:, 2])[0, 1]) for k in (0, 1)])


@pytest.mark.parametrize("at_once", [1, 14, 21, 10**6])
def test_association_does_not_depend_on_the_size_of_a_block(monkeypatch, at_once):
    rng = np.random.default_rng(5)
    change, targets = rng.normal(size=(7, 4)), rng.random((7, 4)) < 0.2
    entry = {"genes": list("abcd"), "screen": {"change": change, "targets": sp.csr_matrix(targets.astype(np.int8))}}
    pairs = [(s, t) for s in range(4) for t in range(4) if s != t]
    edges = pd.DataFrame({"source": ["abcd"[s] for s, _ in pairs], "target": ["abcd"[t] for _, t in pairs]})
    expected = []
    for s, t in pairs:
        rows = ~targets[:, t]
        expected.append(abs(np.corrcoef(change[rows][:, s], change[rows][:, t])[0, 1]))
    monkeypatch.setattr(order, "PAIRS_AT_ONCE", at_once)
    np.testing.assert_allclose(association(edges, entry), expected)


def cells(n=240, g=30, seed=1):
    rng = np.random.default_rng(seed)
    place = np.sort(rng.random(n))
    x = np.exp(-((place[:, None] - np.linspace(0, 1, g)) ** 2) / 0.1) * 3 + rng.random((n, g)) * 0.2
    adata = ad.AnnData(x.astype(np.float32))
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.var_names = [f"g{i:02d}" for i in range(g)]
    adata.obs["dpt_pseudotime"] = place
    return adata


def test_every_row_of_the_table_is_in_the_model_or_the_prior(caplog):
    adata = cells()
    rng = np.random.default_rng(3)
    prior = pd.DataFrame({"source": rng.choice(adata.var_names, 80), "target": rng.choice(adata.var_names, 80)})
    prior = prior[prior["source"] != prior["target"]].drop_duplicates()
    scdash.tl.fit_dynamics(
        adata,
        prior=prior,
        progress=False,
        training=scdash.Training(max_epochs=0),
        validation=scdash.Validation(null_models=False),
    )
    with caplog.at_level("INFO", logger="scdash"):
        edges = scdash.get.grn(adata)
    assert ((edges["weight"] != 0) | edges["in_prior"]).all()
    assert edges["score"].is_monotonic_decreasing
    known = set(zip(prior["source"], prior["target"], strict=True))
    assert set(zip(*edges.loc[edges["in_prior"], ["source", "target"]].to_numpy().T, strict=True)) == known
    assert edges["rank"].is_monotonic_increasing and edges["association"].between(0, 1 + 1e-9).all()
    tied = edges[edges["rank"].duplicated(keep=False)]
    assert ("share their rank" in caplog.text) == bool(len(tied))


def a_fit(edges, **prior):
    genes = sorted(set(edges["source"]) | set(edges["target"]))
    adata = ad.AnnData(np.zeros((2, len(genes)), np.float32), var=pd.DataFrame(index=genes))
    series = {"states": np.random.default_rng(0).random((6, len(genes))), "time": np.arange(6.0), "trajectory": ["a"] * 6,
              "split": ["train"] * 6}  # fmt: skip
    adata.uns["dynamics"] = {"genes": np.array(genes), "edges": edges, "series": series, "prior": prior, "params": {}}
    return adata


def test_what_is_neither_in_the_prior_nor_in_the_network_is_no_row():
    edges = table([0.9, 0.5, 0.4, 0.3], weight=[1.0, 0.0, 2.0, 0.0], in_prior=[True, True, False, False],
                  selection_frequency=[0.9] * 4, contribution=0.5)  # fmt: skip
    found = scdash.get.grn(a_fit(edges, used=2))
    assert found["source"].tolist() == ["g00", "g01", "g02"]
    assert scdash.get.grn(a_fit(edges, used=2), only_network=True)["source"].tolist() == ["g00", "g02"]
    assert scdash.get.subnetwork(a_fit(edges, used=2), "g00")["ranked_by"].tolist() == ["prior and data"]


@pytest.mark.parametrize(
    ("prior", "expected"),
    [({}, "data"), ({"used": 0, "fell_back": False}, "data"), ({"used": 3}, "prior and data"),
     ({"used": 3, "fell_back": False}, "prior and data"), ({"used": 3, "fell_back": True}, "prior")],
)  # fmt: skip
def test_the_table_says_what_its_scores_rest_on(prior, expected, messages):
    edges = table([0.5, 0.5, 0.0], weight=[1.0, 2.0, 3.0], in_prior=[True, True, False])
    assert ranked_by({"prior": prior}) == expected
    found = scdash.get.grn(a_fit(edges, **prior))
    assert set(found["ranked_by"]) == {expected}
    assert found["source"].tolist() == ["g01", "g00", "g02"]  # equal scores are ordered by the data in any case
    assert ("because the prior has them" in messages()) is (expected == "prior")


def test_scores_of_a_screen_rest_on_the_data():
    assert ranked_by({"prior": {"used": 3}, "screen": {}}) == "data"
