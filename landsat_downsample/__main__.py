"""``python -m landsat_downsample`` is the command line."""

from landsat_downsample._cli import command

command()
