"""Options, loading and error reporting that the command lines of both runners share."""

import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from models import errors
from models.processes import exit_guard
from pipeline.console import interrupts, messages, shortage, terminal
from pipeline.storage.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.config.configuration import Config

DEFAULT_CONFIG = pathlib.Path(__file__).parents[2] / "data" / "king_county" / "pipeline.yaml"

ConfigOption = Annotated[
    pathlib.Path,
    typer.Option("--config", "-c", help="The problem's YAML file.", show_default=False),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Sets a key of the configuration; repeatable."),
]
PresetOption = Annotated[
    str | None,
    typer.Option("--preset", help="Applies one of the configuration's `presets`."),
]
WorkspaceOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help="Directory for everything that runs produce.",
        show_default="workspace/<name>",
    ),
]


def app(purpose: str, epilog: str) -> typer.Typer:
    """Returns a command line to which commands can be added."""
    return typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help=purpose,
        epilog=epilog,
    )


def load(
    path: pathlib.Path, overrides: Sequence[str] | None, preset: str | None = None
) -> "Config":
    """Loads a problem's configuration and makes the modules beside it importable.

    Raises:
        UserError: see `config_file.load`.
    """
    from pipeline.config import config_file  # slow to import; `--help` must not wait

    config = config_file.load(pathlib.Path(messages.shown(path)), overrides or (), preset)
    # The user's own model_fn may be in a module beside the configuration.
    sys.path.append(str(config.folder))
    return config


def workspace(config: "Config", root: pathlib.Path | None) -> Workspace:
    """Returns the problem's workspace: `root`, or by default `workspace/<name>`."""
    return Workspace((root or pathlib.Path("workspace") / config.name).resolve())


def pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """Parses the values of a repeatable option that takes NAME=VALUE.

    Raises:
        UserError: a value is not of this form.
    """
    values = {}
    for text in given or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise errors.UserError(f"{option} {text}: expected NAME=VALUE")
        values[name] = value
    return values


def main(commands: typer.Typer) -> None:
    """Runs a command line and exits; a `UserError` is shown as its message, without a trace."""
    terminal.repair_streams()
    interrupts.raise_in_main()
    command = typer.main.get_command(commands)
    try:
        os.getcwd()
    except FileNotFoundError:
        print("the current directory was removed; change to another one", file=sys.stderr)
        sys.exit(errors.BAD_INPUT)
    try:
        # Typer's own `main` would turn an interrupt into an exit code of its own.
        with (
            exit_guard.guarded(lambda text: print(text, file=sys.stderr, flush=True)),
            command.make_context(pathlib.Path(sys.argv[0]).name, sys.argv[1:]) as context,
        ):
            command.invoke(context)
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except errors.Ended as end:
        _end(end.exit_code)
    except SystemExit as end:
        # Our commands raise `typer.Exit`; other code that exits, even with 0, is not a success.
        print(f"sys.exit({end.code!r}) ended the command before its result", file=sys.stderr)
        _end(end.code if isinstance(end.code, int) and end.code else errors.FAILED)
    except TyperException as error:
        # Without a command the error has no message: its text, the help, is already on the screen.
        if message := error.format_message():
            print(f"{message.rstrip('.')}; see --help", file=sys.stderr)
        sys.exit(error.exit_code)
    except errors.UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _end_interrupted()
    except Exception as error:
        if interrupts.happened:
            _end_interrupted()
        if not (advice := shortage.advice(error)):
            raise
        print(advice, file=sys.stderr)
        _end(errors.FAILED)


def _end_interrupted() -> NoReturn:
    print(f"\n{errors.INTERRUPTED_TEXT}", file=sys.stderr)
    _end(errors.INTERRUPTED)


def _end(code: int) -> NoReturn:
    """Ends the process without waiting for threads that libraries may have left running."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
