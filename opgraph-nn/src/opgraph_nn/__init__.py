"""opgraph-nn: neural-network ops, initializers and optimizers for opgraph.

The ops answer under `opgraph` too, ``og.relu``; imported from here they are typed.
"""

import opgraph as og
from opgraph_nn import initializers, optimizers
from opgraph_nn.ops.activation import log_softmax, relu, softmax
from opgraph_nn.ops.batch_norm import batch_norm, fused_batch_norm
from opgraph_nn.ops.dropout import dropout
from opgraph_nn.ops.loss import softmax_cross_entropy_loss

__all__ = [
    "batch_norm",
    "dropout",
    "fused_batch_norm",
    "initializers",
    "log_softmax",
    "optimizers",
    "relu",
    "softmax",
    "softmax_cross_entropy_loss",
]

og.hide_frames(__name__)
