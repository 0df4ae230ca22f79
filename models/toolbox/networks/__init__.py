"""Keras layers over the packed features. They compute logits and know nothing about labels."""

from models.toolbox.networks.embeddings import NumberEmbedding, PackedEmbedding, PiecewiseLinear
from models.toolbox.networks.encoders import (
    RAGGED_WIDTH,
    Encoder,
    Linear,
    PlainEncoder,
    Recurrent,
    plain,
    sequences,
)
from models.toolbox.networks.layers import Dropout, Perceptron, output_layer
from models.toolbox.networks.tabm import MemberHeads, Members, TabM
