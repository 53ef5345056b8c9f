"""How does a test get processes that it may kill?

From a server of forks that has no threads: a fork of the test process itself inherits locks that
its other threads hold at that moment, and may then wait for ever.
"""

import multiprocessing

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.file_runtime", "tests.workspaces"])
