"""The wheel holds a shared library for this machine's processor, and no code for a certain Python."""

import sysconfig

from setuptools import setup
from wheel.bdist_wheel import bdist_wheel


class LibraryWheel(bdist_wheel):
    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return "py3", "none", sysconfig.get_platform().replace("-", "_").replace(".", "_")


setup(cmdclass={"bdist_wheel": LibraryWheel})
