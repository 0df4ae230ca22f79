"""TFX's Trainer, with a run's own length and place for checkpoints."""

from components.trainer.component import Trainer

__all__ = ["Trainer"]
