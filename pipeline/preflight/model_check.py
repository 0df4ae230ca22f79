"""Checks before any long work that the configured model exists and takes its parameters."""

from models.errors import UserError
from pipeline.config.configuration import Config
from pipeline.config.tune_config import MODEL_PARAMS


def check_model(config: Config) -> None:
    """Imports the `model_fn` and checks the configured and searched parameters that it declares.

    Raises:
        UserError: the model does not exist, does not take these parameters, or cannot be trained
            on several devices as configured.
    """
    from models.zoo import registry

    registry.check(config.model.name, config.model.params)
    cluster = config.train.cluster
    if cluster and cluster.mirrored and config.model.name in registry.ON_ONE_DEVICE:
        raise UserError(
            f"train.cluster.mirrored: found with {config.model.name}, which is trained on one "
            "device only; choose another model, such as mlp, or remove mirrored"
        )
    if config.tune and (mistakes := _search_mistakes(config)):
        raise UserError("\n".join(mistakes))


def _search_mistakes(config: Config) -> list[str]:
    """Returns a message for each searched model parameter that is unknown or has invalid values."""
    from models.zoo import registry

    assert config.tune
    mistakes = []
    for key, dimension in config.tune.search.items():
        name = key.removeprefix(MODEL_PARAMS)
        for value in dimension.samples if name != key else ():
            try:
                registry.check(config.model.name, {**config.model.params, name: value})
            except UserError as error:
                mistakes.append(f"tune.search.{error}")
                break
    return mistakes
