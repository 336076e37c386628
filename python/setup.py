"""Builds a wheel for this machine's processor and any Python: it holds libcddp with all its dependencies.

The library is the one in CDDP_LIBRARY, else that of build/release (the target cddp_capi).
"""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py
from wheel.bdist_wheel import bdist_wheel

ROOT = pathlib.Path(__file__).resolve().parent.parent


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        folder = pathlib.Path(self.build_lib) / "cddp" / "lib"
        shutil.rmtree(folder, ignore_errors=True)
        library = os.environ.get("CDDP_LIBRARY") or ROOT / "build/release/lib/libcddp.so.1"
        subprocess.run([sys.executable, ROOT / "scripts/bundle_library", folder, f"--library={library}"], check=True)


class WithLibrary(Distribution):
    def has_ext_modules(self):
        return True


class LibraryWheel(bdist_wheel):
    def get_tag(self):
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")


setup(distclass=WithLibrary, cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": LibraryWheel})
