"""``python -m opgraph`` is the command line."""

import sys

from opgraph.cli import main

sys.exit(main())
