"""The benchmark's own arithmetic; the figures themselves are made by `python -m tests.benchmarks`."""

import pytest

from tests.benchmarks.figures import Aim, Figure, as_table, percentile, rounded


def test_the_ratio_is_ours_by_the_peers():
    assert Figure("Load", "/s", 300.0, 100.0).ratio == 3


def test_without_a_peer_the_ratio_is_by_the_other_figure():
    assert Figure("Two processes", "/s", 30.0, other=20.0).ratio == 1.5


def test_where_ours_is_left_out_the_ratio_is_the_peers_by_the_other_figure():
    assert Figure("Nothing stored", "ms", None, 10.0, 20.0).ratio == 0.5


def test_a_figure_alone_has_no_ratio():
    assert Figure("Start", "s", 2.0).ratio is None


@pytest.mark.parametrize(
    ("aim", "verdict"),
    [
        (Aim("≤", 0.7), "yes"),
        (Aim("≤", 0.4), "**no**"),
        (Aim("≥", 2), "**no**"),
        (Aim("<", 6, of="figure"), "yes"),
        (Aim("<", 5, of="figure"), "**no**"),
        (None, ""),
    ],
)
def test_an_aim_is_met_or_not(aim, verdict):
    assert Figure("Answer", "ms", 5.0, 10.0, aim=aim).verdict == verdict


def test_percentiles_are_values_that_were_measured():
    assert percentile([3, 1, 2], 50) == 2
    assert percentile(list(range(1, 201)), 99) == 198
    assert percentile([7], 99) == 7


def test_numbers_keep_three_digits_or_so():
    assert [rounded(each) for each in (1234.5, 120.4, 12.34, 1.234, 3.0)] == ["1,234", "120", "12.3", "1.23", "3"]


def test_the_table_is_aligned_markdown():
    table = as_table([Figure("Answer, p50", "ms", 5.0, 10.0, aim=Aim("≤", 0.7), database="SQLite")])

    header, rule, line = table.splitlines()
    assert len(header) == len(rule) == len(line)
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        *("Answer, p50", "SQLite", "5 ms", "10 ms", "0.50", "≤ 0.7×", "yes")
    ]
