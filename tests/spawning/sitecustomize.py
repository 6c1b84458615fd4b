"""Gives every worker that the tests start the option --use-spawn. `pytest --use-spawn` has each Python import this.

A test that starts a worker by another program than manage.py chooses the way of its processes itself.
"""

import sys

if sys.argv[0].endswith("manage.py") and "rundramatiq" in sys.argv:
    sys.argv.append("--use-spawn")
