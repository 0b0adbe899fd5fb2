"""``python -m landsat_downsample`` is the command line; it ends as Python does, when profilers write what they know."""

import sys

from landsat_downsample._cli import main

sys.exit(main())
