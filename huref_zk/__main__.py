"""`python -m huref_zk`, for where the program's own name is not on the path."""

import os
import sys

# Python puts the current folder first on the path for -m, and what lies there is not ours: an
# ezkl.py beside a bundle must not run.
if sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from huref_zk.cli import main

if __name__ == "__main__":
    main(prog_name="huref-zk")
