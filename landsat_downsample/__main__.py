"""``python -m landsat_downsample`` is the command line."""

import sys

from landsat_downsample._cli import main

sys.exit(main())
