"""What else makes the first cell fast? Runs once, at the end of the build, in the new image.

Matplotlib searches all fonts at the first import of every new home: seconds. It is done here, and
`carrel-prepare-home` copies the result.
"""

import os
import sys
from pathlib import Path

seed = Path(sys.argv[1], "share", "carrel", "matplotlib")
seed.mkdir(parents=True)
os.environ["MPLCONFIGDIR"] = str(seed)

import matplotlib.font_manager  # noqa: E402, F401  # its import writes the cache
