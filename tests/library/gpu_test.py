#!/usr/bin/env python3
"""libcddp with tensors on a GPU comes to the bits of tensors on the host. Needs a build with CUDA, and a PyTorch with CUDA.

    gpu_test.py CDDP_SERVER LIBRARY
"""
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import unittest

SERVER, LIBRARY = (str(pathlib.Path(sys.argv.pop(1)).resolve()) for _ in range(2))
os.environ["CDDP_LIBRARY"] = LIBRARY
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))
import torch  # noqa: E402
from cddp import library  # noqa: E402  (its declarations of the ABI)

SHAPES = [(300, 100), (100,), (100, 1000), (7,)]
STEPS = 12
CPU = torch.device("cpu")
GPU = torch.device("cuda:0")


class Worker:
    """The only worker of a training, whose tensors lie in one array of a device, or each in its own."""

    def __init__(self, address, device, push, together, ratio):
        self.lib = library.library()
        torch.manual_seed(1)
        self.flat = torch.randn(sum(torch.Size(shape).numel() for shape in SHAPES)).to(device)
        self.gradients = torch.zeros_like(self.flat)
        self.device, self.together = device, together
        self.parts = list(self.flat.split([torch.Size(shape).numel() for shape in SHAPES]))
        if not together:
            self.parts = [part.clone() for part in self.parts]
        options = ctypes.c_void_p()
        self.check(self.lib.cddp_options_create(ctypes.byref(options)))
        for name, value in {"servers": address, "push": push, "ratio": ratio, "bucket_bytes": "65536"}.items():
            self.check(self.lib.cddp_options_set(options, name.encode(), value.encode()))
        tensors = (library.Tensor * len(SHAPES))()
        shapes = [(ctypes.c_int64 * len(shape))(*shape) for shape in SHAPES]
        for i, (shape, part) in enumerate(zip(SHAPES, self.parts)):
            tensors[i] = library.Tensor(dimensions=len(shape), shape=shapes[i], name=f"t{i}".encode(), data=part.data_ptr())
        memory = library.Memory()
        if device.type == "cuda":
            memory = library.Memory(kind=library.CUDA, device=0, stream=torch.cuda.current_stream().cuda_stream)
        self.client = ctypes.c_void_p()
        self.check(self.lib.cddp_join(options, tensors, len(SHAPES), ctypes.byref(memory), ctypes.byref(self.client)))
        self.lib.cddp_options_destroy(options)

    def check(self, code):
        library.check(code)

    def start(self):
        self.check(self.lib.cddp_start(self.client))

    def gradient_step(self, step):
        torch.manual_seed(step)
        values = torch.randn(self.flat.numel())
        options = library.StepOptions()
        if self.together:
            options.gradients = self.gradients.data_ptr()
        self.check(self.lib.cddp_begin(self.client, ctypes.byref(options)))
        self.gradients.copy_(values)  # on the stream, after begin
        for i, part in reversed(list(enumerate(self.gradients.split([part.numel() for part in self.parts])))):
            self.check(self.lib.cddp_ready(self.client, i, None if self.together else part.data_ptr()))
        self.check(self.lib.cddp_finish(self.client, None))

    def weight_step(self, step):
        torch.manual_seed(step)
        for part in self.parts:
            part.sub_(torch.randn(part.numel()).to(self.device).reshape(part.shape) * 0.125)
        self.check(self.lib.cddp_step(self.client, None, None))

    def state(self):
        size = ctypes.c_size_t()
        self.check(self.lib.cddp_state_size(self.client, ctypes.byref(size)))
        state = ctypes.create_string_buffer(size.value)
        self.check(self.lib.cddp_save_state(self.client, state, size, ctypes.byref(size)))
        return state.raw

    def weights(self):
        return torch.cat([part.cpu().reshape(-1) for part in self.parts])

    def destroy(self):
        self.lib.cddp_destroy(self.client)


class GpuTest(unittest.TestCase):
    def serve(self):
        server = subprocess.Popen([SERVER, "--listen=127.0.0.1:0", "--metrics_listen=", "--progress=json", "--workers=1",
                                   "--lr=1", "--momentum=0", "--log_versions=100"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.addCleanup(server.stdout.close)
        return json.loads(server.stdout.readline())["address"]

    def train(self, device, push, together, restart=False, ratio="0.1"):
        address = self.serve()
        worker = Worker(address, device, push, together, ratio)
        worker.start()
        for step in range(1, STEPS + 1):
            if restart and step == STEPS // 2:
                state = worker.state()
            (worker.gradient_step if push == "gradients" else worker.weight_step)(step)
        if restart:  # the second half once more
            worker.destroy()
            worker = Worker(address, device, push, together, ratio)
            worker.check(worker.lib.cddp_restore(worker.client, state, len(state)))
            for step in range(STEPS // 2, STEPS + 1):
                (worker.gradient_step if push == "gradients" else worker.weight_step)(step)
        weights = worker.weights()
        worker.destroy()
        return weights

    def test_gradients_in_one_array_are_compressed_on_the_gpu(self):
        host = self.train(CPU, "gradients", together=True)
        self.assertTrue(torch.equal(host, self.train(GPU, "gradients", together=True)))

    def test_what_the_gpu_does_not_do_is_done_by_the_host(self):
        host = self.train(CPU, "gradients", together=True, ratio="1")
        self.assertTrue(torch.equal(host, self.train(GPU, "gradients", together=True, ratio="1")))

    def test_gradients_apart(self):
        host = self.train(CPU, "gradients", together=False)
        self.assertTrue(torch.equal(host, self.train(GPU, "gradients", together=False)))

    def test_weights(self):
        host = self.train(CPU, "weights", together=True)
        for together in (True, False):
            self.assertTrue(torch.equal(host, self.train(GPU, "weights", together=together)))

    def test_a_state_restores_on_the_gpu(self):
        for push in ("gradients", "weights"):
            host = self.train(CPU, push, together=True)
            self.assertTrue(torch.equal(host, self.train(GPU, push, together=True, restart=True)), push)

    def test_tensors_of_the_host_are_refused(self):
        address = self.serve()
        lib = library.library()
        part = torch.zeros(4)
        options, client = ctypes.c_void_p(), ctypes.c_void_p()
        library.check(lib.cddp_options_create(ctypes.byref(options)))
        library.check(lib.cddp_options_set(options, b"servers", address.encode()))
        shape = (ctypes.c_int64 * 1)(4)
        tensor = library.Tensor(dimensions=1, shape=shape, name=b"w", data=part.data_ptr())
        memory = library.Memory(kind=library.CUDA)
        code = lib.cddp_join(options, ctypes.byref(tensor), 1, ctypes.byref(memory), ctypes.byref(client))
        self.assertNotEqual(code, 0)
        self.assertIn(b"tensor 'w'", lib.cddp_error_message())


if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit("no GPU, or a PyTorch without CUDA")
    unittest.main(verbosity=2)
