"""TFX's executor, which passes the run's own settings to `run_fn`."""

from tfx.components.trainer import executor

from models.settings.training_settings import Settings
from models.training.problem import trainer_properties


class Executor(executor.GenericExecutor):
    """See the component."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Trains, evaluates and exports.

        Raises:
            ValueError: see `models.training.trainer.run_fn`.
        """
        settings = Settings.from_json(exec_properties["problem"])
        if max_steps := exec_properties["max_steps"]:
            settings = settings.replaced({"train.max_steps": max_steps})
        properties = trainer_properties(settings, exec_properties["training_root"])
        super().Do(
            input_dict, output_dict, {**properties, "run_fn": "models.training.trainer.run_fn"}
        )
