"""What a training leaves in the Trainer's artifacts: the model to be served, and the summaries."""

from collections.abc import Callable, Mapping

from etils import epath
from tfx.utils import io_utils

from models import manifest


def export(
    estimator,
    checkpoint: str,
    receiver_fn: Callable,
    destination: epath.Path,
    extra: Mapping[str, str],
) -> None:
    """Exports to `destination` itself, not to a timestamp below it: exactly one export is there.

    It carries the checksums of its files, see `manifest`.
    """
    directory = epath.Path(estimator.model_dir)
    exports = directory / "export"
    if exports.exists():
        # Of a run that was killed in the midst of it.
        exports.rmtree()
    extra_files = {}
    for name, text in extra.items():
        path = directory / name
        path.write_text(text)
        extra_files[name] = str(path)
    exported = estimator.export_saved_model(
        str(exports), receiver_fn, assets_extra=extra_files, checkpoint_path=checkpoint
    )
    manifest.write(epath.Path(exported.decode()))
    io_utils.copy_dir(exported.decode(), str(destination))
    epath.Path(exported.decode()).rmtree()


def copy_summaries(directory: epath.Path, run: epath.Path) -> None:
    """Puts the summaries into the run's artifact; the checkpoints stay in the directory."""
    for folder, _, names in directory.walk():
        target = run / folder.relative_to(directory)
        for name in names:
            if name.startswith("events.out.tfevents."):
                target.mkdir(parents=True, exist_ok=True)
                (folder / name).copy(target / name, overwrite=True)
