"""A small table with every kind of column and a label for every task, and its transformed form."""

import pathlib
from typing import Any

import numpy as np
import rich_table
from rich_table import Transformed

_REQUIRED = "presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }"
SCHEMA = f"""
feature {{ name: "area" type: FLOAT {_REQUIRED} }}
feature {{ name: "age" type: INT }}
feature {{ name: "income" type: FLOAT }}
feature {{ name: "city" type: BYTES }}
feature {{ name: "zone" type: INT {_REQUIRED} }}
feature {{ name: "quality" type: BYTES }}
feature {{ name: "garden" type: INT {_REQUIRED} int_domain {{ min: 0 max: 1 }} }}
feature {{ name: "sold" type: BYTES }}
feature {{ name: "offers" type: FLOAT value_count {{ min: 1 }} }}
feature {{ name: "months" type: FLOAT {_REQUIRED.replace("1 } }", "4 } }")} }}
feature {{ name: "sure" type: FLOAT {_REQUIRED} }}
feature {{ name: "price" type: FLOAT {_REQUIRED} }}
feature {{ name: "dear" type: BYTES {_REQUIRED} }}
feature {{ name: "grade" type: INT {_REQUIRED} }}
"""
QUALITY = ["Po", "Fa", "TA", "Gd", "Ex"]
FEATURES: dict[str, dict[str, Any]] = {
    "quality": {"kind": "ordinal", "order": QUALITY},
    "zone": {"kind": "categorical"},
    "sold": {"kind": "date"},
}
DERIVED = {"area_by_age": "area / max(age, 1)"}
TASKS = {"price": "regression", "dear": "binary", "grade": "multiclass"}
WEIGHT = "sure"


def rows(count: int, seed: int, wrong: float = 0.0) -> list[dict[str, Any]]:
    """Generates rows whose labels depend on columns of every kind; None is a missing value.

    `wrong` is the share of rows with opposite labels and weight zero.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        size, age, quality, city = (
            rng.normal(),
            int(rng.integers(0, 100)),
            int(rng.integers(0, 5)),
            int(rng.integers(0, 4)),
        )
        offers = rng.normal(rng.normal(), 0.5, int(rng.integers(0, 6)))
        months = rng.normal(0, 1, 4).cumsum()
        worth = size + 0.5 * (quality - 2) + 0.4 * (city - 1.5) + 0.01 * (50 - age)
        worth = (worth + 0.5 * np.mean([*offers] or 0.0) + 0.3 * months[-1]) / 1.7
        is_wrong = rng.random() < wrong
        told = -worth if is_wrong else worth
        made.append(
            {
                "area": float(np.float32(np.exp(4 + 0.4 * size))),
                "age": None if rng.random() < 0.15 else age,
                "income": [None, float("nan"), float(rng.normal(50, 20))][
                    rng.choice(3, p=[0.1, 0.1, 0.8])
                ],
                "city": None if rng.random() < 0.1 else ["Bern", "Oslo", "Rome", "Zürich"][city],
                "zone": int(rng.integers(98001, 98006)),
                "quality": None if rng.random() < 0.1 else QUALITY[quality],
                "garden": int(rng.integers(0, 2)),
                "sold": None
                if rng.random() < 0.1
                else f"201{int(rng.integers(0, 9))}-0{int(rng.integers(1, 9))}-15",
                "offers": [float(np.float32(offer)) for offer in offers] or None,
                "months": [float(np.float32(month)) for month in months],
                "sure": 0.0 if is_wrong else float(np.float32(rng.uniform(0.5, 1.5))),
                "price": float(np.float32(np.exp(12 + 0.4 * told + 0.1 * rng.normal()))),
                "dear": "yes" if told + 0.2 * rng.normal() > 0.6 else "no",
                "grade": 9 + int(np.digitize(told + 0.2 * rng.normal(), [-0.6, 0.5])),
            }
        )
    return made


def table(
    folder: pathlib.Path, *labels: str, weighted: bool = False, eval_rows: int = 200
) -> Transformed:
    """Runs the table through Transform with the given labels; other labels are ignored."""
    unused = {name: {"kind": "ignore"} for name in TASKS if name not in labels}
    if not weighted:
        unused[WEIGHT] = {"kind": "ignore"}
    wrong = 0.6 if weighted else 0.0
    return rich_table.transform(
        folder,
        SCHEMA,
        {**FEATURES, **unused},
        labels[0],
        TASKS[labels[0]],
        rows(1200 if weighted else 640, 1, wrong),
        rows(eval_rows, 2, wrong),
        more_labels={name: TASKS[name] for name in labels[1:]},
        derived=DERIVED,
        **({"weight": WEIGHT} if weighted else {}),
    )
