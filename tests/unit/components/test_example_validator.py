"""Tests that validating a wide table by groups of columns finds the same anomalies."""

import pandas as pd
import tensorflow_data_validation as tfdv

from components.example_validator import executor


def test_validation_in_groups_gives_the_same_anomalies():
    count = executor._COLUMNS + 5
    table = pd.DataFrame({f"column_{index}": [1.0, 2.0, 3.0] for index in range(count)})
    schema = tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(table))
    # One column is gone, one is new, one has another type, one lacks a value.
    odd = table.drop(columns="column_5").assign(new=[1, 2, 3], column_1=["a", "b", "c"])
    odd.loc[0, "column_3"] = float("nan")
    statistics = tfdv.generate_statistics_from_dataframe(odd)
    whole = tfdv.validate_statistics(statistics, schema)
    assert {"column_1", "column_5", "new"} <= set(whole.anomaly_info)

    assert len(list(executor.groups(statistics, schema))) == 2
    with executor._in_groups():
        assert tfdv.validate_statistics(statistics, schema) == whole


def test_columns_that_the_schema_relates_stay_together():
    table = pd.DataFrame({f"column_{index}": [1.0, 2.0] for index in range(4)})
    statistics = tfdv.generate_statistics_from_dataframe(table)
    schema = tfdv.infer_schema(statistics)
    schema.weighted_feature.add(name="pair")
    assert list(executor.groups(statistics, schema, columns=2)) == [(statistics, schema)]
