"""What else makes the first cell fast? Runs once, at the end of the build, in the new image.

`carrel_outputs` for Python and `carreloutputs` for R go where both look for modules. Matplotlib
searches all fonts at the first import of every new home: seconds. It is done here, and
`carrel-prepare-home` copies the result.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

image = Path(sys.argv[1])
outputs = image / "share" / "carrel" / "outputs"
shutil.copy(outputs / "carrel_outputs.py", sysconfig.get_path("purelib"))
library = image / "share" / "R" / "library"
library.mkdir(parents=True)
install = ["R", "CMD", "INSTALL", "--no-docs", f"--library={library}", outputs / "carreloutputs"]
subprocess.run(install, check=True, stdout=subprocess.DEVNULL)

seed = image / "share" / "carrel" / "matplotlib"
seed.mkdir(parents=True)
os.environ["MPLCONFIGDIR"] = str(seed)

import matplotlib.font_manager  # noqa: E402, F401  # its import writes the cache
