"""Builds the settings of columns from plain values."""

from collections.abc import Mapping
from typing import Any

from models.settings.column_settings import ColumnSettings, FeatureSettings, LabelSettings


def column_settings(
    tasks: Mapping[str, str], features: Mapping[str, Mapping[str, Any]] | None = None, **more: Any
) -> ColumnSettings:
    """Returns settings for labels with these tasks, by column.

    Args:
        tasks: the task of each label.
        features: attributes of `FeatureSettings` by column.
        **more: `derived` and `weight` of `ColumnSettings`.
    """
    return ColumnSettings(
        labels=tuple(LabelSettings(name, task) for name, task in tasks.items()),
        features={
            column: FeatureSettings(**{**feature, "order": tuple(feature.get("order", ()))})
            for column, feature in (features or {}).items()
        },
        **more,
    )
