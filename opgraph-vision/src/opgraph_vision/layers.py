"""Layers of ConvNets: modules like those of `opgraph_nn.layers`, of images.

model = Sequential(Conv2D(1, 8, 3), ReLU(), MaxPool2D(2), Flatten(), Linear(8 * 14 * 14, 10))
"""

from __future__ import annotations

from typing import Any

import opgraph as og
from opgraph_nn.initializers import GlorotUniformInitializer, ZerosInitializer
from opgraph_nn.layers import Module
from opgraph_vision.ops.conv import conv2d
from opgraph_vision.ops.pool import avgpool2d, maxpool2d
from opgraph_vision.ops.window import Padding, PaddingLike, Pair, as_pair


class Conv2D(Module):
    """Convolve images and add a bias: (N, H, W, inputs) -> (N, H', W', outputs), by `conv2d`.

    Parameters
    ----------
    inputs, outputs : int
        How many channels it takes and gives.
    kernel_size : int or pair of int
        Height and width.
    strides, padding, dilations
        As of `conv2d`.
    bias : bool
        Whether there is one; it begins as zeros.
    initializer : callable, optional
        Of the kernel; `GlorotUniformInitializer` by default.
    dtype : numpy.dtype, optional
        The default float where not given.

    Attributes
    ----------
    kernel : Variable
        (height, width, inputs, outputs)
    bias : Variable or None
        One value for each channel that it gives.
    """

    @og.guarded
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: Pair,
        strides: Pair = 1,
        padding: PaddingLike = "SAME",
        dilations: Pair = 1,
        bias: bool = True,
        initializer: og.Initializer | None = None,
        dtype: Any = None,
    ) -> None:
        self.strides = strides
        self.padding = padding
        self.dilations = dilations
        shape = (*as_pair(kernel_size), inputs, outputs)
        self.kernel = self.make_variable("kernel", shape, initializer or GlorotUniformInitializer(), dtype)
        self.bias = self.make_variable("bias", (outputs,), ZerosInitializer(), dtype) if bias else None

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return the convolution of `x` plus the bias."""
        y = conv2d(x, self.kernel, self.strides, self.padding, self.dilations)
        return y if self.bias is None else y + self.bias


class _Pooling(Module):
    """What the pooling layers share.

    Parameters
    ----------
    kernel_size : int or pair of int
        Height and width of the window.
    strides : int or pair of int, optional
        By default the windows meet edge to edge.
    padding : {"VALID", "SAME"}
    """

    def __init__(self, kernel_size: Pair, strides: Pair | None = None, padding: Padding = "VALID") -> None:
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding


class MaxPool2D(_Pooling):
    """Take each window's maximum: (N, H, W, C) -> (N, H', W', C), by `maxpool2d`."""

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return the maxima."""
        return maxpool2d(x, self.kernel_size, self.strides, self.padding)


class AvgPool2D(_Pooling):
    """Average each window: (N, H, W, C) -> (N, H', W', C), by `avgpool2d`."""

    def forward(self, x: og.NodeLike) -> og.Node:
        """Return the averages."""
        return avgpool2d(x, self.kernel_size, self.strides, self.padding)
