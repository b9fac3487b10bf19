"""opgraph-vision: convolution and pooling for opgraph, and a small set of digits to try them on."""

import opgraph as og
from opgraph_vision import datasets
from opgraph_vision.ops.conv import conv2d
from opgraph_vision.ops.pool import maxpool2d

__all__ = ["conv2d", "datasets", "maxpool2d"]

og.hide_frames(__name__)
