"""Tests of the split by seed: groups stay together, cells are unchanged, seeds differ."""

import csv
import hashlib

import yaml
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from benchmarks import tables
from pipeline.config import config_file


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def bucket(key: str, buckets: int = 10) -> int:
    """Returns the bucket that TFX assigns to a key, by its hash."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % buckets


def test_a_group_shares_a_key_and_each_seed_splits_differently(tmp_path):
    source = tables.REPOSITORY / "data" / "king_county" / "kc_house_data.csv"
    before = rows_of(source)
    copies = []
    for seed in (0, 1):
        tables.copy_with_key(source, tmp_path / f"{seed}.csv", "id", seed)
        copies.append(rows_of(tmp_path / f"{seed}.csv"))
        keys: dict[str, str] = {}
        for row in copies[seed]:
            assert keys.setdefault(row["id"], row[tables.KEY]) == row[tables.KEY]
        assert len(set(keys.values())) == len(keys)
    assert [{k: v for k, v in row.items() if k != tables.KEY} for row in copies[0]] == before
    splits = [[bucket(row[tables.KEY]) < 7 for row in copy] for copy in copies]
    for split in splits:
        assert 0.68 < sum(split) / len(split) < 0.72
    # Two independent splits with 70 % each agree on 58 % of the rows.
    agreement = sum(a == b for a, b in zip(*splits)) / len(before)
    assert 0.56 < agreement < 0.60


def test_without_a_group_equal_rows_stay_together(tmp_path):
    (tmp_path / "in.csv").write_text('a,b\n1,"x, y"\n2,\n1,"x, y"\n\n')
    tables.copy_with_key(tmp_path / "in.csv", tmp_path / "out.csv", None, 3)
    first, second, third = rows_of(tmp_path / "out.csv")
    assert first == third
    assert first["b"] == "x, y"
    assert first[tables.KEY] != second[tables.KEY]
    assert first[tables.KEY].startswith("3/")


def test_every_dataset_in_the_repository_can_be_split_by_seed(tmp_path):
    for name in ("king_county", "ames"):
        settings = tables.for_seed(name, 2, tmp_path / name)
        path = tables.DATASETS[name].config
        config, own = config_file.load(path, settings), config_file.load(path)
        assert config.splits.key == tables.KEY
        assert config.data.path.read_text().startswith(own.data.path.read_text().split("\n")[0])
        assert config.data.schema_file is not None
        schema = text_format.Parse(config.data.schema_file.read_text(), schema_pb2.Schema())
        assert schema.feature[-1].name == tables.KEY
        if own.splits.key:
            # The original key must not become a feature.
            assert config.features[own.splits.key].kind == "ignore"


def test_untuned_datasets_use_the_defaults():
    assert tables.UNTUNED
    for dataset in tables.UNTUNED.values():
        config = config_file.load(dataset.config)
        settings = yaml.safe_load(dataset.config.read_text())
        assert set(settings) <= {"task", "label", "data", "splits", "gates", "features"}
        assert {feature.kind for feature in config.features.values()} <= {"ignore"}
