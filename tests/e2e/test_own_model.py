"""The code in docs/write-a-model-fn.md runs as the page says."""

import re

import numpy as np
import pandas as pd
import pytest

from tests.e2e.conftest import REPOSITORY, Problem, states

pytestmark = pytest.mark.e2e

DOCUMENT = (REPOSITORY / "docs" / "write-a-model-fn.md").read_text()


def block(language: str, name: str) -> str:
    """Returns the code block in the document whose first line is the name of a file."""
    (text,) = re.findall(rf"```{language}\n# {name}\n(.*?)```", DOCUMENT, re.DOTALL)
    return text


@pytest.fixture(scope="module")
def walked(houses, tmp_path_factory) -> Problem:
    """Returns a problem made by following the document in a new folder."""
    folder = tmp_path_factory.mktemp("my_problem")
    houses.to_csv(folder / "houses.csv", index=False)
    (folder / "pipeline.yaml").write_text(block("yaml", "pipeline.yaml"))
    for name in ("my_model.py", "bare_model.py", "my_estimator.py"):
        (folder / name).write_text(block("python", name))
    return Problem(folder / "pipeline.yaml", folder / "workspace")


@pytest.fixture(scope="module")
def output(walked) -> str:
    """Returns the output of the first run."""
    return walked.run()


@pytest.mark.slow
def test_the_model_is_blessed_and_predicts(walked, output, houses, tmp_path):
    assert "Blessed and pushed to" in output
    houses.head(20).drop(columns="price").to_csv(tmp_path / "in.csv", index=False)
    done = walked.predict(tmp_path / "in.csv", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    scored = pd.read_csv(tmp_path / "out.csv")
    assert np.corrcoef(scored.predicted_price, houses.price.head(20))[0, 1] > 0.7


@pytest.mark.slow
def test_a_changed_model_repeats_only_its_training_and_what_follows(walked, output):
    file = walked.config.parent / "my_model.py"
    file.write_text(file.read_text().replace('"mean_logit"', '"logit"'))
    found = states(walked.run())
    assert (found["Transform"], found["Trainer"]) == ("cached", "done")


@pytest.mark.slow
def test_a_new_file_beside_the_model_repeats_its_training(walked, output):
    assert states(walked.run())["Trainer"] == "cached"
    (walked.config.parent / "sizes.json").write_text("[64, 32]")
    found = states(walked.run())
    assert (found["Transform"], found["Trainer"]) == ("cached", "done")


@pytest.mark.slow
def test_the_model_without_a_head_is_blessed_too(walked, output):
    found = walked.run("model={name: bare_model.model_fn}", "log_label=false")
    assert "Blessed and pushed to" in found


@pytest.mark.slow
def test_a_whole_estimator_is_blessed_too(walked, output):
    (name,) = re.findall(r"```yaml\nmodel: (my_estimator\..*)\n```", DOCUMENT)
    assert "Blessed and pushed to" in walked.run(f"model={name}")


def test_a_wrong_parameter_is_refused_as_the_document_says(walked):
    (expected,) = re.findall(r"^model\.params\.unitz: .*$", DOCUMENT, re.MULTILINE)
    done = walked.call("run", "--set", "model.params.unitz=8")
    assert (done.returncode, done.stderr.strip()) == (2, expected)
