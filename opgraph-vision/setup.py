"""Everything is in pyproject.toml; this clears away what an earlier build left."""

import shutil

from setuptools import setup

# setuptools packs all that lies in build/, modules deleted since included
shutil.rmtree("build", ignore_errors=True)

setup()
