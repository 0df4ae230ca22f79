"""Settings of the columns: which are labels, which one is the weight, and how features are made."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class LabelSettings:
    """Settings of a label.

    Attributes:
        name: the label's column.
        task: regression, binary or multiclass.
        log_label: whether to learn on a log scale; None decides by the label's skew (regression).
        interval: share of the labels that prediction intervals should cover; None for predictions
            without an interval (regression).
        class_weights: `balanced`, or the loss weight by class, which is 1 for omitted classes; None
            if all classes weigh the same.
    """

    name: str
    task: str
    log_label: bool | None = None
    interval: float | None = None
    class_weights: str | Mapping[str, float] | None = None


@dataclasses.dataclass(frozen=True)
class FeatureSettings:
    """Settings of a feature column; the attributes are those of `features.Feature`.

    Attributes:
        kind: the kind of feature, or `ignore`; by default the schema determines it.
        vocabulary, min_count, oov_buckets: see `features.Feature` (categorical).
        order: the values in ascending order (ordinal).
    """

    kind: str = ""
    vocabulary: int = 10_000
    min_count: int = 5
    oov_buckets: int = 1
    order: tuple[str | int, ...] = ()


@dataclasses.dataclass(frozen=True)
class ColumnSettings:
    """Settings of all columns of a problem.

    Attributes:
        labels: the labels; the Evaluator judges the first one.
        features: settings by column, where the schema alone does not determine its use.
        derived: arithmetic expression of each derived feature, by its name.
        weight: the column of example weights, if any.
    """

    labels: tuple[LabelSettings, ...]
    features: Mapping[str, FeatureSettings] = dataclasses.field(default_factory=dict)
    derived: Mapping[str, str] = dataclasses.field(default_factory=dict)
    weight: str | None = None

    @property
    def label_names(self) -> list[str]:
        """The columns of the labels."""
        return [label.name for label in self.labels]

    def for_transform(self) -> "ColumnSettings":
        """Returns what Transform depends on, so that another loss does not transform data again."""
        labels = tuple(LabelSettings(label.name, label.task) for label in self.labels)
        return dataclasses.replace(self, labels=labels)

    def to_json(self) -> str:
        """Returns the settings as JSON, which `from_json` reads back."""
        # Sorted, as the order of the features in the configuration does not matter.
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "ColumnSettings":
        """Returns the settings that `to_json` wrote."""
        return cls.of_fields(json.loads(text))

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> "ColumnSettings":
        """Returns the settings with these JSON values."""
        return cls(
            labels=tuple(LabelSettings(**label) for label in fields["labels"]),
            features={
                column: FeatureSettings(**{**feature, "order": tuple(feature["order"])})
                for column, feature in fields["features"].items()
            },
            derived=fields["derived"],
            weight=fields["weight"],
        )
