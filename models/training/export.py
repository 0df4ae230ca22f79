"""Files that a training writes to the Trainer's artifacts: the exported model and summaries."""

from collections.abc import Callable, Mapping

from etils import epath
from tfx.utils import io_utils

from models.training import export_manifest


def export(
    estimator,
    checkpoint: str,
    receiver_fn: Callable,
    destination: epath.Path,
    extra: Mapping[str, str],
) -> None:
    """Exports a checkpoint to `destination` itself, rather than to a timestamped subdirectory.

    The export includes the checksums of its files, see `export_manifest`.

    Args:
        estimator: the Estimator to export.
        checkpoint: path of the checkpoint.
        receiver_fn: builds the receiver of serving requests.
        destination: directory of the SavedModel.
        extra: texts by file name, written to the export's `assets.extra/`.
    """
    directory = epath.Path(estimator.model_dir)
    exports = directory / "export"
    if exports.exists():
        # Left by a run that was killed during the export.
        exports.rmtree()
    extra_files = {}
    for name, text in extra.items():
        path = directory / name
        path.write_text(text)
        extra_files[name] = str(path)
    exported = estimator.export_saved_model(
        str(exports), receiver_fn, assets_extra=extra_files, checkpoint_path=checkpoint
    )
    export_manifest.write(epath.Path(exported.decode()))
    io_utils.copy_dir(exported.decode(), str(destination))
    epath.Path(exported.decode()).rmtree()


def copy_summaries(directory: epath.Path, run: epath.Path) -> None:
    """Copies the summaries to the run's artifact; checkpoints stay in the training directory."""
    for folder, _, names in directory.walk():
        target = run / folder.relative_to(directory)
        for name in names:
            if name.startswith("events.out.tfevents."):
                target.mkdir(parents=True, exist_ok=True)
                (folder / name).copy(target / name, overwrite=True)
