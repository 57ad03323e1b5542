"""Time as users hold it: what is read, in which unit, and that no remedy changes values."""

import numpy as np
import pandas as pd
import pytest

from scdash._data import StandardTime, read_time


@pytest.mark.parametrize(
    ("values", "numbers", "unit"),
    [
        ([0, 24, 48], [0, 24, 48], None),
        (["0", "24", "48.5"], [0, 24, 48.5], None),
        (pd.Categorical([0, 2, 10], ordered=True), [0, 2, 10], None),
        (pd.Categorical(["D0", "D10", "D2"], categories=["D0", "D10", "D2"], ordered=True), [0, 10, 2], "days"),
        (["D2", "D10", "d3"], [2, 10, 3], "days"),
        (["day 2", "Day_4", "day 10"], [2, 4, 10], "days"),
        (["2 days", "3d", "10 day"], [2, 3, 10], "days"),
        (["0h", "6h", "12 hours"], [0, 6, 12], "hours"),
        (["24 hpf", "48hpf", "72hpf"], [24, 48, 72], "hours"),
        (["E8.5", "E7.25", "E9"], [8.5, 7.25, 9], "embryonic days"),
        (["P0", "P7", "P14"], [0, 7, 14], "postnatal days"),
        (["12h", "1d", "36h"], [12, 24, 36], "hours"),
        (["0", "30min", "1h"], [0, 30, 60], "minutes"),
        (["week 1", "wk2", "3 weeks"], [1, 2, 3], "weeks"),
        (["t0", "t24", "T48"], [0, 24, 48], None),
        (["T0h", "T6h", "T12h"], [0, 6, 12], "hours"),
        (pd.to_timedelta([0, 6.5, 48], unit="h"), [0, 6.5, 48], "hours"),
        (pd.Series(pd.to_timedelta([0, 6.5, 48], unit="h")).astype(object), [0, 6.5, 48], "hours"),
        (pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-03"]), [24, 0, 48], "hours"),
        (pd.array([0, 24, 48], dtype="Int64"), [0, 24, 48], None),
    ],
)
def test_forms_of_time(values, numbers, unit):
    found = read_time(values, "t")
    np.testing.assert_allclose(found.values, numbers, rtol=1e-12)
    assert found.unit == unit


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["early", "late"], "'early', 'late' \\(2 of 2"),
        (["D0", "control"], "'control' \\(1 of 2"),
        (["E8.5", "P2"], "cannot be mixed"),
        (["24", "D2"], "cannot be mixed"),
        (["day-1", "day-2"], "'day-1'"),
        (["S1", "S2"], "'S1'"),
        (["HH12", "HH14"], "'HH12'"),
        (["1,5", "2"], "'1,5'"),
        ([True, False], "bool"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused_with_examples(values, shown):
    with pytest.raises(TypeError, match=f"obs\\['day'\\] must hold .*{shown}") as caught:
        read_time(values, "obs['day']")
    assert "extract" not in str(caught.value)


def test_missing_times_are_counted():
    for values in ([1.0, np.nan, 2.0], ["D1", "", "D2"], ["D1", None, "D2"], pd.to_timedelta([1, None, 2], unit="h")):
        with pytest.raises(ValueError, match="is NaN for 1 of 3"):
            read_time(values, "t")
        assert np.isnan(read_time(values, "t", finite=False).values[1])


@pytest.mark.parametrize("unit", [1.0, 24.0, 86400.0, 1 / 365.25, 1e9])
@pytest.mark.parametrize("origin", [0.0, -3.0, 100.0])
def test_times_in_the_standard_unit_do_not_depend_on_the_users_unit(unit, origin):
    times = np.array([0, 2, 3, 7, 9, 0, 2, 3.5])
    trajectory = np.repeat([0, 1], [5, 3])
    user = times * unit + origin * unit
    standard = StandardTime.of(user, trajectory)
    assert np.array_equal(standard.apply(user), times)
    np.testing.assert_allclose(standard.scale, unit, rtol=1e-12)


def test_tiny_steps_are_not_rounded_away():
    times = np.array([0.0, 1e-13, 1.0])
    assert (np.diff(StandardTime.of(times, np.zeros(3, np.int64)).apply(times)) > 0).all()
