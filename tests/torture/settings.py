"""The product's settings, with the fault layer installed: production code neither ships nor pays for it."""

from settings import *  # noqa: F403
from settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.torture.faults"]
