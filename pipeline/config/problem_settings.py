"""The settings of a problem that Transform, the Trainer and the preflight checks share, as JSON."""

from typing import Any

from pipeline.config.configuration import Config


def settings(config: Config) -> dict[str, Any]:
    """Returns the labels and the arguments of `features.resolve` that a configuration sets."""
    overrides = {
        column: feature.dict(exclude_unset=True) for column, feature in config.features.items()
    }
    if config.splits.key and config.splits.key not in overrides:
        # The model would memorize a key that only groups rows.
        overrides[config.splits.key] = {"kind": "ignore"}
    labels: list[dict[str, Any]] = [
        {
            "name": config.label,
            "task": config.task,
            "log_label": config.log_label,
            "interval": config.interval,
            "class_weights": config.class_weights,
        }
    ]
    labels += [
        {"name": name, **label.dict(), "interval": None}
        for name, label in config.more_labels.items()
    ]
    return {
        "labels": labels,
        "features": overrides,
        "derived": config.derived,
        "weight": config.weight,
    }
