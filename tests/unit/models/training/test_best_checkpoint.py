"""Tests of the best checkpoint's files."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from etils import epath

from models.training.best_checkpoint import BestCheckpoint


@pytest.mark.parametrize("loss", [math.nan, 1.0], ids=["no checkpoint is kept", "one is kept"])
def test_two_tasks_may_record_the_same_evaluations(tmp_path, loss):
    (tmp_path / "model.ckpt-7.index").write_text("")

    def record(_) -> None:
        best = BestCheckpoint(epath.Path(tmp_path / "best"))
        for _ in range(200):
            result = {"global_step": 7, "loss": loss}
            best.export(None, None, str(tmp_path / "model.ckpt-7"), result, False)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(record, range(4)))
    best = BestCheckpoint(epath.Path(tmp_path / "best"))
    assert best.evaluated() == 7
    assert best.exists() == math.isfinite(loss)
    assert not list((tmp_path / "best").glob("*.partial"))
