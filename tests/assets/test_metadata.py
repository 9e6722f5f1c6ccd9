"""What Dagster shows of an asset."""

import dagster as dg

from assets.metadata import table


def test_a_table_has_a_row_a_record_and_none_is_a_word():
    assert [record.data for record in table(iter([{"updates": 6}, {"updates": 12}])).records] == [
        {"updates": 6},
        {"updates": 12},
    ]
    assert table([]) == dg.MetadataValue.text("none")
