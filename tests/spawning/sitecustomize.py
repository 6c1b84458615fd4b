"""Gives every worker that the tests start the option --use-spawn. `pytest --use-spawn` has each Python import this."""

import sys

if "rundramatiq" in sys.argv:
    sys.argv.append("--use-spawn")
