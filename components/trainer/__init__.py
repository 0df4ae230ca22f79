"""TFX's Trainer, where each run may set the length of training and the checkpoint directory."""

from components.trainer.component import Trainer

__all__ = ["Trainer"]
