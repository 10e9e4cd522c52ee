"""The bar of long runs does not complain of a notebook that can draw none."""

import subprocess
import sys

NOTEBOOK = """
import sys, types, warnings

shell = types.SimpleNamespace(config={"IPKernelApp": {}})
ipython = types.ModuleType("IPython")
ipython.get_ipython = lambda: shell
sys.modules |= {"IPython": ipython, "ipykernel": ipython, "ipykernel.zmqshell": ipython}
warnings.simplefilter("always")
import poolproof._phases, poolproof._side_by_side
from poolproof._bars import tqdm
print(tqdm.__module__)
"""


def test_bars__a_notebook_without_widgets_is_no_warning():
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tqdm.")
