"""opgraph-vision: convolution and pooling for opgraph, and handwritten digits to try them on.

`opgraph_vision.layers`, which takes opgraph-nn along, is imported on its own.
"""

import opgraph as og
from opgraph_vision import datasets
from opgraph_vision.ops.conv import conv2d, conv2d_transpose
from opgraph_vision.ops.pool import avgpool2d, global_avgpool2d, global_maxpool2d, maxpool2d
from opgraph_vision.ops.resize import resize_nearest2d

# other names of the same functions
avgpool_2d = avgpool2d
maxpool_2d = maxpool2d

__all__ = [
    "avgpool2d",
    "avgpool_2d",
    "conv2d",
    "conv2d_transpose",
    "datasets",
    "global_avgpool2d",
    "global_maxpool2d",
    "maxpool2d",
    "maxpool_2d",
    "resize_nearest2d",
]

og.hide_frames(__name__)
