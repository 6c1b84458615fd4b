"""Logs everything: `rundramatiq -v 2` has each worker process import this module once Django has set up its logging."""

import logging

logging.getLogger().setLevel(logging.DEBUG)
