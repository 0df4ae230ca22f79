"""Tests of the command line: exit codes, and one line for each mistake."""

import pathlib
import subprocess
import sys

import forks
import pytest

from pipeline.config import config_file

ROOT = pathlib.Path(__file__).parents[4]
READS_OPTIONS = ("pipeline.console.command_line", "pipeline.config.config_file")


def call(*arguments, cwd=ROOT, **environment):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        for name, value in environment.items():
            patch.setenv(name, value)
        return forks.run([str(ROOT / "local_runner.py"), *map(str, arguments)], READS_OPTIONS)


@pytest.fixture
def problem(tmp_path):
    (tmp_path / "houses.csv").write_text("price,rooms\n1,2\n")
    path = tmp_path / "pipeline.yaml"
    path.write_text(
        "task: regression\nlabel: price\ndata: houses.csv\ngates: {mae: {at_most: 1}}\n"
    )
    return path


def test_help_needs_no_tensorflow():
    code = (
        "import sys, runpy\n"
        "sys.argv = ['local_runner.py', '--help']\n"
        "try: runpy.run_path('local_runner.py', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "print('imported', sorted(heavy), 'code', code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert "Run the pipeline" in done.stdout
    assert "Exit codes" in done.stdout
    assert done.stdout.endswith("imported [] code 0\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["run", "--confg", "x"],
            "No such option: --confg (Possible options: --config); see --help",
        ),
        (["predict", "--csv", "x"], "Missing option '--out'; see --help"),
        (["run", "--config", "no.yaml"], "no.yaml: no such configuration file"),
        (["run", "--set", "x"], "--set x: expected key.path=value, such as train.max_steps=500"),
    ],
)
def test_a_wrong_option_is_one_line(arguments, line):
    done = call(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{line}\n")


def test_a_removed_current_directory_is_one_line(tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    code = 'rmdir "$PWD"; exec "$0" "$1" run'
    command = ["sh", "-c", code, sys.executable, str(ROOT / "local_runner.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here, timeout=60)
    line = "the current directory was removed; change to another one\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_several_mistakes_in_a_configuration(problem):
    done = call("run", "--config", problem, "--set", "labl=x", "--set", "train.seed=x")
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{problem}: train.seed: expected a whole number")
    assert second.startswith(f"{problem}: labl: unknown key; did you mean label?")


def test_tune_requires_a_tune_section(problem):
    done = call("tune", "--config", problem)
    assert (done.returncode, done.stdout) == (2, "")
    example = done.stderr.strip().removeprefix(f"{problem}: tune: missing; add for example ")
    with open(problem, "a") as file:
        file.write(example.strip("'") + "\n")
    assert config_file.load(problem).tune


def test_wrong_data_is_one_line(problem, tmp_path):
    done = call("run", "-c", problem, "-w", tmp_path / "w", "--set", "data.path=no.csv")
    assert done.returncode == 2
    assert done.stderr == f"data.path: {tmp_path / 'no.csv'}: no such file\n"


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_new_baseline_needs_a_reason(problem, reason):
    done = call("run", "--config", problem, "--new-baseline", reason)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--new-baseline: is empty; give the reason for not comparing with the deployed model\n"
    )


def test_a_new_baseline_is_refused_if_nothing_is_compared(problem):
    done = call("run", "-c", problem, "--set", "gates=never", "--new-baseline", "why not")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "--new-baseline: the configuration has gates: never, so no model is compared or deployed; "
        "leave it out, or give gates bounds\n"
    )


def test_an_unreadable_record_of_deployments_is_reported_at_the_start(problem, tmp_path):
    serving = tmp_path / "ws" / "serving"
    serving.mkdir(parents=True)
    (serving / "deployments.json").write_text('{"deployments": [')
    done = call("run", "--config", problem, "--workspace", tmp_path / "ws")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{serving}/deployments.json: is not a record of deployments (")
    assert done.stderr.count("\n") == 1


def test_predict_requires_a_pushed_model(problem, tmp_path):
    arguments = ["predict", "--csv", tmp_path / "houses.csv", "--out", tmp_path / "out.csv"]
    done = call(*arguments, "--config", problem, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    serving = tmp_path / "workspace" / tmp_path.name / "serving"
    assert done.stderr.endswith("serving: no model was pushed yet; `run` trains and pushes one\n")
    assert done.stderr.count("\n") == 1
    assert serving.parent.parent.name == "workspace" and not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("tf_config", "line"),
    [
        (
            '{"cluster": {"chief": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "TF_CONFIG: found the task ps-0 of a cluster, expected none: a run on this machine "
            "starts the tasks of its cluster itself (train.cluster); unset TF_CONFIG\n",
        ),
        ("{broken", "TF_CONFIG: found {broken, which is not JSON"),
    ],
)
@pytest.mark.parametrize("command", ["run", "tune"])
def test_a_run_refuses_to_be_a_task_of_a_cluster(problem, tmp_path, command, tf_config, line):
    search = "tune={trials: 2, search: {train.batch_size: {choices: [16, 32]}}}"
    settings = ["-c", problem, "-w", tmp_path / "w", "--set", search]
    done = call(command, *settings, TF_CONFIG=tf_config)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(line)
    assert not (tmp_path / "w").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("ending", "code", "line"),
    [
        ("sys.exit(0)", 1, "sys.exit(0) ended the command before its result\n"),
        ("quit()", 1, "sys.exit(None) ended the command before its result\n"),
        ("sys.exit(7)", 7, "sys.exit(7) ended the command before its result\n"),
        ("os._exit(0)", 1, "<string>:5: os._exit(0) ended the run before its verdict; raise an"),
        ("raise typer.Exit(3)", 3, ""),
        ("pass", 0, ""),
    ],
)
def test_an_exit_by_a_library_is_no_success(ending, code, line):
    """A user's module may end the process too, but not with success."""
    program = (
        "import os, sys, typer\nfrom pipeline.console import command_line\n"
        f"app = command_line.app('', '')\n@app.command()\ndef run():  {ending}\n"
        "@app.command()\ndef other(): pass\ncommand_line.main(app)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(line) and done.stderr.count("\n") == bool(line)
