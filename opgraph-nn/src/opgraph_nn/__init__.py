"""opgraph-nn: neural-network ops, layers, initializers and optimizers for opgraph.

The ops answer under `opgraph` too, ``og.relu``; imported from here they are typed.
"""

import opgraph as og
from opgraph_nn import initializers, layers, learner, optimizers
from opgraph_nn.ops.activation import elu, gelu, leaky_relu, log_sigmoid, relu, selu, sigmoid, silu, softplus
from opgraph_nn.ops.batch_norm import batch_norm, fused_batch_norm
from opgraph_nn.ops.dropout import dropout
from opgraph_nn.ops.loss import (
    sigmoid_cross_entropy_loss,
    softmax_cross_entropy_loss,
    sparse_softmax_cross_entropy_loss,
)
from opgraph_nn.ops.regression import huber_loss, l2norm, mse_loss, normal_density, normal_log_density
from opgraph_nn.ops.softmax import log_softmax, softmax

__all__ = [
    "batch_norm",
    "dropout",
    "elu",
    "fused_batch_norm",
    "gelu",
    "huber_loss",
    "initializers",
    "l2norm",
    "layers",
    "leaky_relu",
    "learner",
    "log_sigmoid",
    "log_softmax",
    "mse_loss",
    "normal_density",
    "normal_log_density",
    "optimizers",
    "relu",
    "selu",
    "sigmoid",
    "sigmoid_cross_entropy_loss",
    "silu",
    "softmax",
    "softmax_cross_entropy_loss",
    "softplus",
    "sparse_softmax_cross_entropy_loss",
]

og.hide_frames(__name__)
