"""Files of the layout that PHOENIX writes: genes in lines, a line of times after each trajectory."""

import numpy as np
import pytest

from scdash.datasets import read_phoenix


def text(states, times):
    """Write trajectories as the authors' `writecsv` does, the first line filled up with empty cells."""
    lines = [f"{states.shape[2]},{len(states)}" + "," * (len(times) - 2)]
    for one in states:
        lines += [",".join(map(str, one[:, gene])) for gene in range(states.shape[2])] + [",".join(map(str, times))]
    return "\n".join(lines)


def test_every_trajectory_has_its_own_states_and_times(tmp_path):
    states = np.random.default_rng(0).random((3, 4, 2))
    (tmp_path / "train.csv").write_text(text(states, [0, 2, 3, 7]))
    (tmp_path / "test.csv").write_text(text(states[:1] + 1, [0, 1, 2, 3]))
    (tmp_path / "names.csv").write_text("x\nNA\nMYC\n")
    adata = read_phoenix(tmp_path / "train.csv", tmp_path / "names.csv")
    np.testing.assert_allclose(adata.X.reshape(3, 4, 2), states, rtol=1e-6)
    assert list(adata.var_names) == ["NA", "MYC"] and adata.obs["time"].tolist() == [0, 2, 3, 7] * 3
    assert adata.obs["trajectory"].tolist() == ["0"] * 4 + ["1"] * 4 + ["2"] * 4
    both = read_phoenix({"train": tmp_path / "train.csv", "test": tmp_path / "test.csv"})
    assert both.obs["split"].tolist() == ["train"] * 12 + ["test"] * 4 and both.obs_names.is_unique
    np.testing.assert_allclose(both.X[12:], states[0] + 1, rtol=1e-6)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "course.csv"
    path.write_text("3,1\n1,2\n3,4\n0,5\n")
    with pytest.raises(ValueError, match="announces 3 genes and 1 trajectories, which are 4 lines .* it has 3"):
        read_phoenix(path)
    path.write_text("2,1\n1,2\n3\n0,5\n")
    with pytest.raises(ValueError, match="lines 2 to 4 of course.csv differ in length"):
        read_phoenix(path)
    path.write_text("2,1\n1,2\n3,4\n0,5\n")
    with pytest.raises(ValueError, match="1 names of genes for 2 genes"):
        read_phoenix(path, ["a"])
    (tmp_path / "other.csv").write_text("1,1\n1,2\n0,5\n")
    with pytest.raises(ValueError, match="different numbers of genes"):
        read_phoenix({"train": path, "test": tmp_path / "other.csv"})


def test_a_gap_is_a_missing_value(tmp_path):
    (tmp_path / "course.csv").write_text("1,1,\n1,,3\n0,5,9\n")
    assert np.isnan(read_phoenix(tmp_path / "course.csv").X[:, 0]).tolist() == [False, True, False]
