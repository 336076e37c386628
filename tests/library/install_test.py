#!/usr/bin/env python3
"""The installed library: another project finds it, by CMake and by pkg-config, builds the examples and runs them; and
the library builds without what only the programs need.

    install_test.py FOLDER_OF_PROGRAMS BUILD_FOLDER
"""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "field"))
from programs import FieldTest, main  # noqa: E402  (tests/field is where it lies)

PROGRAMS = pathlib.Path(sys.argv[1]).resolve()
BUILD = pathlib.Path(sys.argv.pop(2)).resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def has_torch():
    return "CDDP_WITH_TORCH:BOOL=ON" in (BUILD / "CMakeCache.txt").read_text()


class InstallTest(FieldTest):
    def run_command(self, *command, **options):
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=280, **options)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def install(self):
        for component in ("library", "client"):
            self.run_command("cmake", "--install", BUILD, "--prefix", self.folder / "usr", "--component", component)
        return self.folder / "usr"

    def build_example(self, name, prefix):
        build = self.folder / f"build-{name}"
        self.run_command("cmake", "-S", ROOT / "examples" / name, "-B", build, "-G", "Ninja",
                         f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Debug")
        self.run_command("cmake", "--build", build)
        return build

    def run_workers(self, program, *flags):
        """Two of them, as the example's first lines say; returns what both have printed."""
        said = self.run_command(PROGRAMS / "cddp", "run", "--workers=2", "--servers=1", *flags,
                                f"--output={self.folder}/run", "--", program)
        return said + "".join(file.read_text() for file in (self.folder / "run/logs").glob("*"))

    def library_path(self, prefix):
        return next(prefix.rglob("libcddp.so.1")).parent

    def test_the_example_in_c_by_pkg_config(self):
        prefix = self.install()
        path = next(prefix.rglob("cddp.pc")).parent
        flags = self.run_command("pkg-config", "--cflags", "--libs", "cddp", env={**os.environ, "PKG_CONFIG_PATH": path})
        program = self.folder / "linear"
        self.run_command("cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", ROOT / "examples/c/linear.c",
                         *flags.split(), f"-Wl,-rpath,{self.library_path(prefix)}", "-o", program)
        said = self.run_workers(program, "--optimizer_at=servers", "--lr=0.1", "--momentum=0")
        for rank in (0, 1):
            self.assertRegex(said, rf"worker {rank}: y = (1\.9|2\.0)\d x \+ (0\.9|1\.0)\d")

    def test_the_example_in_c_by_cmake(self):
        self.build_example("c", self.install())

    def test_headers_compile_alone_as_c_and_cpp(self):
        prefix = self.install()
        for compiler, header in ((["cc", "-std=c99"], "cddp.h"), (["c++", "-std=c++17"], "cddp.h"),
                                 (["c++", "-std=c++17"], "cddp.hpp")):
            source = self.folder / ("one.c" if compiler[0] == "cc" else "one.cc")
            source.write_text(f"#include <cddp/{header}>\n")
            self.run_command(*compiler, "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{prefix}/include",
                             "-fsyntax-only", source)

    @unittest.skipUnless(has_torch(), "no LibTorch")
    def test_the_example_in_cpp_with_libtorch(self):
        program = self.build_example("cpp", self.install()) / "spirals"
        said = self.run_workers(program)
        for rank in (0, 1):
            self.assertRegex(said, rf"worker {rank}: 9\d\.\d % right")

    def test_the_library_alone_asks_for_no_packages_of_the_programs(self):
        build = self.folder / "client"
        without = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in ("prometheus-cpp", "spdlog", "nlohmann_json",
                                                                         "Torch")]
        self.run_command("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", "-DCDDP_BUILD_SERVER=OFF",
                         "-DCDDP_BUILD_TOOLS=OFF", "-DCDDP_WITH_TORCH=OFF", "-DCDDP_CUDA=OFF", *without)
        targets = self.run_command("cmake", "--build", build, "--target", "help")
        self.assertIn("cddp_capi", targets)
        for program in ("cddp-server", "cddp-worker"):
            self.assertNotIn(program, targets)


if __name__ == "__main__":
    for tool in ("ninja", "pkg-config"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed")
    main()
