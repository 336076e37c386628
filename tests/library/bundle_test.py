#!/usr/bin/env python3
"""scripts/bundle_library: its folder works in a process that has other copies of protobuf, gRPC and absl.

    bundle_test.py FOLDER_OF_PROGRAMS LIBRARY

Python packages that are not installed (grpcio, protobuf, torch) are left out, and said so.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "field"))
from programs import FieldTest, main  # noqa: E402  (tests/field is where it lies)

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIBRARY = pathlib.Path(sys.argv.pop(2)).resolve()

LOAD = """
import ctypes, os, sys
lib = ctypes.CDLL(sys.argv[1] + "/libcddp.so.1", mode=os.RTLD_LOCAL | os.RTLD_NOW | DEEP)
"""

# Trains one worker for some steps.
TRAIN = """
lib.cddp_error_message.restype = ctypes.c_char_p
class Tensor(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("kind", ctypes.c_uint32), ("type", ctypes.c_uint32),
                ("dimensions", ctypes.c_uint32), ("shape", ctypes.c_void_p), ("name", ctypes.c_char_p),
                ("data", ctypes.c_void_p)]
def check(code):
    if code: raise SystemExit(lib.cddp_error_message().decode())
weights, shape = (ctypes.c_float * 64)(), (ctypes.c_int64 * 1)(64)
tensor = Tensor(ctypes.sizeof(Tensor), 0, 0, 1, ctypes.addressof(shape), b"weights", ctypes.addressof(weights))
options, client = ctypes.c_void_p(), ctypes.c_void_p()
check(lib.cddp_options_create(ctypes.byref(options)))
check(lib.cddp_options_set(options, b"servers", sys.argv[2].encode()))
check(lib.cddp_options_set(options, b"ratio", b"1"))
check(lib.cddp_join(options, ctypes.byref(tensor), ctypes.c_size_t(1), None, ctypes.byref(client)))
check(lib.cddp_start(client))
gradient = (ctypes.c_float * 64)(*[-1] * 64)
for step in range(3):
    check(lib.cddp_begin(client, None))
    check(lib.cddp_ready(client, ctypes.c_size_t(0), gradient))
    check(lib.cddp_finish(client, None))
assert all(abs(weight - 3) < 0.1 for weight in weights), list(weights)
check(lib.cddp_leave(client, 1))
lib.cddp_destroy(client)
"""

# Uses the process's own gRPC and protobuf, before and after.
USE_OTHERS = """
def use_others():
    import google.protobuf.struct_pb2 as pb, grpc, torch
    message = pb.Struct()
    message["loss"] = 0.5
    assert pb.Struct.FromString(message.SerializeToString())["loss"] == 0.5
    try:
        grpc.unary_unary_rpc_method_handler
        channel = grpc.insecure_channel("127.0.0.1:1")
        channel.unary_unary("/none")(b"", timeout=0.2)
    except grpc.RpcError:
        pass
    assert torch.ones(2).sum() == 2
use_others()
"""


class BundleTest(FieldTest):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.bundle = pathlib.Path(folder.name) / "bundle"
        subprocess.run([ROOT / "scripts/bundle_library", cls.bundle, "--library", LIBRARY], check=True)

    def bindings_of(self, program, *arguments, **environment):
        """Runs it in a process of its own; returns its log of which file's symbols were bound to which."""
        log = self.folder / "bindings"
        done = subprocess.run([sys.executable, "-c", program, self.bundle, *arguments],
                              env={"LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": str(log), "PATH": "/usr/bin:/bin",
                                   **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout)
        return "".join(file.read_text(errors="replace") for file in self.folder.glob("bindings.*"))

    def train(self, before="", after="", **environment):
        """Trains with the bundle's library; returns the bindings."""
        _, address = self.start_server("--workers=1", "--lr=1", "--momentum=0")
        return self.bindings_of(before + LOAD.replace("DEEP", "os.RTLD_DEEPBIND") + TRAIN + after, address, **environment)

    def foreign(self, bindings):
        """Bindings between a file of the bundle and another copy of what is in it."""
        found = re.findall(r"binding file (\S+) \[\d+\] to (\S+) \[\d+\]: \w+ symbol `(\S+)'", bindings)
        self.assertTrue(any(str(self.bundle) in file for file, _, _ in found), "nothing of the bundle was bound")
        system = re.compile(r"/(ld-linux.*|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s))\.so|python3")
        # The C++ library takes its own inline functions from whoever has them first, which are the same everywhere.
        return [binding for binding in found
                if (str(self.bundle) in binding[0]) != (str(self.bundle) in binding[1])
                and not system.search(binding[0 if str(self.bundle) in binding[1] else 1])]

    def test_alone_it_takes_nothing_else(self):
        self.assertEqual(self.foreign(self.train()), [])

    def test_beside_grpcio_protobuf_and_torch(self):
        try:
            import google.protobuf, grpc, torch  # noqa: E401, F401
        except ImportError as error:
            self.skipTest(f"{error.name} is not installed")
        self.assertEqual(self.foreign(self.train(USE_OTHERS, "use_others()\n")), [])

    def test_with_a_preloaded_malloc(self):
        other = self.folder / "other_malloc.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", pathlib.Path(__file__).parent / "other_malloc.c", "-o", other],
                       check=True)
        self.train(LD_PRELOAD=str(other))

    def test_others_in_the_global_scope_are_passed_by(self):
        others = 'import ctypes\nfor name in ("libprotobuf.so.32", "libgrpc++.so.1.51"): ' \
                 "ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)\n"
        try:
            subprocess.run([sys.executable, "-c", others], check=True, stderr=subprocess.DEVNULL)
        except subprocess.CalledProcessError:
            self.skipTest("this system's gRPC is of another version")
        self.assertEqual(self.foreign(self.train(others)), [])
        careless = self.bindings_of(others + LOAD.replace("DEEP", "0"))  # to train with a mixture may end or hang
        self.assertNotEqual(self.foreign(careless), [], "this test would not see it")


if __name__ == "__main__":
    main()
