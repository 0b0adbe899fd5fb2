"""``python -m landsat_downsample`` is the command line; once done it ends as Python does, when profilers write."""

import sys

from landsat_downsample.cli.main import main

sys.exit(main())
