"""Tests of the `tune` section: the meaning of a valid one, and messages for every mistake."""

import pytest

from models.errors import UserError
from pipeline.config import config_file
from pipeline.preflight import model_check

BASE = "task: regression\nlabel: price\ndata: houses.csv\ngates: {rmse: {at_most: 5}}\n"
RATE = "model.params.learning_rate: {low: 1.0e-4, high: 1e-2, log: true}"


@pytest.fixture
def load(tmp_path):
    def call(tune, more=""):
        path = tmp_path / "pipeline.yaml"
        path.write_text(f"{BASE}{more}\ntune: {tune}\n")
        return config_file.load(path)

    return call


@pytest.fixture
def mistakes(load):
    """Returns a function that gives the lines of a message, from `tune.` on."""

    def call(*arguments):
        with pytest.raises(UserError) as caught:
            load(*arguments)
        return [line.partition("pipeline.yaml: tune.")[2] for line in str(caught.value).split("\n")]

    return call


def test_a_search_of_one_line_is_enough(load):
    tune = load(f"{{search: {{{RATE}}}}}").tune
    assert (tune.trials, tune.parallel, tune.pruner) == (30, 1, "median")
    assert (tune.metric, tune.goal, tune.max_steps, tune.seed) == ("loss", "minimize", None, None)
    [dimension] = tune.search.values()
    assert (dimension.low, dimension.high, dimension.log) == (1e-4, 1e-2, True)
    assert load("{search: {train.epochs: {low: 1, high: 9}}}").tune.search
    assert load("").tune is None


def test_a_range_is_of_whole_numbers_if_all_its_numbers_are(load):
    search = """{search: {
        model.params.members: {low: 4, high: 16, step: 4},
        model.params.dropout: {low: 0, high: 1, step: 0.25},
        model.params.hidden: {choices: [[128, 64], [256]]}}}"""
    members, dropout, hidden = load(search).tune.search.values()
    assert [type(value) for value in (members.low, members.high, members.step)] == [int] * 3
    assert [type(value) for value in (dropout.low, dropout.high, dropout.step)] == [float] * 3
    assert list(hidden.choices) == [[128, 64], [256]]


@pytest.mark.parametrize(
    ("metric", "goal"),
    [
        ("loss", "minimize"),
        ("rmse", "minimize"),
        ("auc", "maximize"),
        ("waterfront/auc", "maximize"),
        ("coverage", "maximize"),
        ("precision", "maximize"),
    ],
)
def test_a_score_is_maximized_by_default(load, metric, goal):
    assert load(f"{{metric: {metric}, search: {{{RATE}}}}}").tune.goal == goal
    assert load(f"{{metric: {metric}, goal: minimize, search: {{{RATE}}}}}").tune.goal == "minimize"


@pytest.mark.parametrize(
    ("tune", "line"),
    [
        (
            "{}",
            "search: nothing to search; add a dimension, such as search: {model.params.learning",
        ),
        ("{search: [1]}", "search: expected keys and values, found [1]"),
        (
            "{search: {learning_rate: {low: 1, high: 2}}}",
            "search.learning_rate: cannot be searched; did you mean model.params.learning_rate?",
        ),
        (
            "{search: {train.bach_size: {choices: [1, 2]}}}",
            "search.train.bach_size: cannot be searched; did you mean train.batch_size? (known: ",
        ),
        ("{search: {train.seed: {low: 1, high: 2}}}", "search.train.seed: cannot be searched"),
        ("{search: {model.params.: {low: 1, high: 2}}}", "search.model.params.: cannot be"),
        (
            "{search: {model.params.a: {low: 1}}}",
            "search.model.params.a: expected low and high, or",
        ),
        (
            "{search: {model.params.a: {low: 2, high: 2}}}",
            "search.model.params.a.low: expected less than high, which is 2, found 2",
        ),
        (
            "{search: {model.params.a: {low: 0, high: 2, log: true}}}",
            "search.model.params.a.low: expected more than 0: log is true, found 0",
        ),
        (
            "{search: {model.params.a: {low: 1, high: 9, step: 2, log: true}}}",
            "search.model.params.a.step: a logarithmic range has no step; remove step or log",
        ),
        (
            "{search: {model.params.a: {low: 1, high: 3, step: 4}}}",
            "search.model.params.a.step: expected more than 0, and no more than 2, found 4",
        ),
        (
            "{search: {model.params.a: {choices: [1, 2], high: 4}}}",
            "search.model.params.a.high: a list of choices has no range; remove one of them",
        ),
        (
            "{search: {model.params.a: {choices: [1, 1]}}}",
            "search.model.params.a.choices: expected two values or more, each of them once",
        ),
        (
            "{search: {model.params.a: {choices: [2020-01-01, 1]}}}",
            "search.model.params.a.choices: expected text, numbers, true, false, or lists of them",
        ),
        (
            "{search: {model.params.a: {lwo: 1, high: 4}}}",
            "search.model.params.a.lwo: unknown key; did you mean low?",
        ),
        (
            "{search: {train.batch_size: {low: 0.5, high: 4}}}",
            "search.train.batch_size: expected a whole number above zero, found 0.5",
        ),
        (
            "{search: {train.epochs: {low: 1, high: 4}, train.max_steps: {low: 1, high: 4}}}",
            "search.train.epochs: searched together with train.max_steps; remove one of them",
        ),
        (
            "{max_steps: 9, search: {train.epochs: {low: 1, high: 4}}}",
            "max_steps: the length of a trial is searched (train.epochs); remove one of the two",
        ),
        (f"{{search: {{{RATE}}}, trials: 0}}", "trials: expected a whole number above zero"),
        (f"{{search: {{{RATE}}}, pruner: medina}}", "pruner: unknown value 'medina'; did you mean"),
        (f"{{search: {{{RATE}}}, paralel: 2}}", "paralel: unknown key; did you mean parallel?"),
        (
            f"{{search: {{{RATE}}}, max_steps: 800, evaluate_every: 1000}}",
            "pruner: a trial of 800 steps is evaluated every 1000, too late for pruning; add "
            "evaluate_every: 160, or write pruner: none",
        ),
    ],
)
def test_mistakes(mistakes, tune, line):
    lines = mistakes(tune)
    assert len(lines) == 1 and lines[0].startswith(line)


@pytest.mark.parametrize(
    ("sizes", "keys"),
    [
        ("choices: [96, 99, 100, 64]", ["choices", "choices"]),
        ("low: 64, high: 128", ["low", "step"]),
        ("low: 33, high: 128, step: 33", []),
        ("choices: [96, 99]", []),
    ],
)
def test_replicas_can_share_a_batch_of_every_searched_size(load, mistakes, sizes, keys):
    search = f"{{search: {{train.batch_size: {{{sizes}}}}}}}"
    assert load(search).tune.search, "one process takes any size"
    mirrored = "train: {cluster: {mirrored: 3}}"
    lines = mistakes(search, mirrored) if keys else []
    assert [line.partition(": ")[0].rpartition(".")[2] for line in lines] == keys
    assert all("expected a multiple of train.cluster.mirrored, 3" in line for line in lines)
    assert keys or load(search, mirrored).tune.search


def test_without_pruning_trials_need_no_intermediate_evaluation(load):
    rare = load(f"{{search: {{{RATE}}}, max_steps: 800, evaluate_every: 1000, pruner: none}}").tune
    assert (rare.pruner, rare.max_steps, rare.evaluate_every) == ("none", 800, 1000)
    often = load(f"{{search: {{{RATE}}}, max_steps: 800, evaluate_every: 200}}").tune
    assert (often.max_steps, often.evaluate_every) == (800, 200)
    assert load(f"{{search: {{{RATE}}}, max_steps: 800}}").tune.max_steps == 800
    assert load(f"{{search: {{{RATE}}}}}", "train: {epochs: 3}").train.epochs == 3


class TestModelParameters:
    @pytest.fixture
    def check(self, load):
        def call(search):
            model_check.check_model(load(f"{{search: {search}}}", "model: mlp"))

        return call

    def test_searched_parameters_of_the_model_pass(self, check):
        check(f"{{{RATE}, model.params.hidden: {{choices: [[8], [4, 2]]}}}}")

    def test_every_wrong_parameter_is_reported(self, check):
        with pytest.raises(UserError) as caught:
            check(
                "{model.params.hiden: {choices: [[8], [4]]}, "
                "model.params.hidden: {low: 1, high: 9}, "
                "model.params.embedding: {low: 4, high: 8.5}}"
            )
        lines = str(caught.value).split("\n")
        assert lines[0].startswith(
            "tune.search.model.params.hiden: unknown parameter; did you mean hidden? (known: "
        )
        assert lines[1:] == [
            "tune.search.model.params.hidden: expected a list, found 1",
            "tune.search.model.params.embedding: expected int, found 4.0",
        ]
