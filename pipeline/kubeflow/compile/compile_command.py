"""The `compile` command: checks the data and the model, then writes the files for clusters."""

from rich.markup import escape

from models.errors import OK
from pipeline.console import messages, terminal
from pipeline.console import node_progress as progress_lib
from pipeline.kubeflow.compile.cluster_problem import ClusterProblem
from pipeline.preflight import data_check, model_check


def run(problem: ClusterProblem) -> int:
    """Compiles the pipeline into the workspace and prints the paths of the files.

    Returns:
        An exit code of `models.errors`.

    Raises:
        UserError: the data or the model does not fit the configuration, or would not be in the
            image.
    """
    config, kubeflow, workspace = problem.config, problem.kubeflow, problem.workspace
    log = workspace.new_log("compile")
    with workspace.temporary(), terminal.logging_to(log) as console:
        if kubeflow.data is None and (report := data_check.check_data(config)):
            print(report, flush=True)  # to the log
            messages.show_table(console, report)
        with progress_lib.spinner(console, "importing TensorFlow, TFX and the compilers"):
            from pipeline.kubeflow.compile import compiler as compile_lib

            terminal.quiet_logging()
            model_check.check_model(config)
            compiled = compile_lib.compile_all(config, kubeflow, workspace.root)
        for file in compiled.files:
            messages.say(console, messages.escaped(file))
        for note in compiled.notes:
            messages.say(console, f"note  {escape(note)}")
    return OK
