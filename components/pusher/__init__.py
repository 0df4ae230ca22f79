"""TFX's Pusher, with versions that appear atomically."""

from components.pusher.component import Pusher

__all__ = ["Pusher"]
