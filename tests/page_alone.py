"""`python -m pseudoword`, but its page starts no worker: the test works on the queue itself."""

import runpy

from pseudoword.ui import processes

vars(processes)["start_worker"] = lambda _workspace: None
runpy.run_module("pseudoword", run_name="__main__", alter_sys=True)
