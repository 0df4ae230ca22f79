"""Resolves the baseline: the model of the latest blessing that is not the candidate's own.

TFX's `LatestBlessedModelStrategy` would hand an unchanged candidate to the Evaluator as its own
baseline: comparing a model with itself says nothing, and the changed input defeats the cache.
"""

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.io import fileio

CANDIDATE = "candidate"
MODEL = "model"
BLESSING = "model_blessing"


class BaselineStrategy(resolver.ResolverStrategy):
    """Takes the channels `candidate`, `model` and `model_blessing`; gives at most one `model`."""

    def resolve_artifacts(
        self, store, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]] | None:
        """Picks the baseline; no model if nothing else was ever blessed."""
        candidates = {artifact.id for artifact in input_dict.get(CANDIDATE, [])}
        models = {artifact.id: artifact for artifact in input_dict.get(MODEL, [])}
        blessings = [
            artifact
            for artifact in input_dict.get(BLESSING, [])
            if artifact.get_int_custom_property("blessed") == 1
        ]
        for blessing in sorted(blessings, key=lambda artifact: artifact.id, reverse=True):
            model_id = blessing.get_int_custom_property("current_model_id")
            if model_id not in models or model_id in candidates:
                continue
            # A workspace that was moved or tidied has records of models that are not there.
            if fileio.exists(models[model_id].uri):
                return {**input_dict, MODEL: [models[model_id]], BLESSING: [blessing]}
        return {**input_dict, MODEL: [], BLESSING: []}
