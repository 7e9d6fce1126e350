"""Charts of days: a scale that fits beside the bars, however much mail there was."""

from datetime import date

import pytest

from panel.charts import Series, bars_of_days


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (0, ["0", "1", "2"]),
        (7, ["0", "4", "8"]),
        (99, ["0", "50", "100"]),
        (9_000, ["0", "5k", "10k"]),
        (270_000, ["0", "200k", "400k"]),
        (1_234_567, ["0", "1M", "2M"]),
    ],
)
def test_the_numbers_of_the_scale_are_short(most, labels):
    chart = bars_of_days("days", "Mail", [Series("delivered")], [(date(2026, 11, 22), [most])])

    assert [line.label for line in chart.lines] == labels
