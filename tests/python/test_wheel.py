"""The wheel: built without a package index, installed into a fresh environment, beside other users of gRPC and torch."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT

TRAINING = """
import grpc, google.protobuf.struct_pb2, torch, cddp
from concurrent.futures import ThreadPoolExecutor

def echo(channel):
    return channel.unary_unary("/test/Echo")(b"hello", timeout=20)

class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request + b"!")

server = grpc.server(ThreadPoolExecutor(2), handlers=[Echo()])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
assert echo(channel) == b"hello!"
model = torch.nn.Linear(40, 1)
optimizer = cddp.DistributedOptimizer(torch.optim.SGD(model.parameters(), lr=0.1), model, local_steps=1, rank=0, workers=1,
                                      servers="SERVERS")
for _ in range(5):
    optimizer.zero_grad()
    model(torch.ones(3, 40)).square().mean().backward()
    optimizer.step()
    assert echo(channel) == b"hello!"
    assert google.protobuf.struct_pb2.Value(number_value=3).SerializeToString()
optimizer.leave()
print("exchanged beside grpc", grpc.__version__, "from", cddp.__file__)
server.stop(None)
"""


def run(*command, **variables):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "CDDP_LIBRARY")}
    done = subprocess.run([str(word) for word in command], env={**environment, **variables}, capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "python", folder / "source/python", ignore=shutil.ignore_patterns("__pycache__", "build"))
    shutil.copytree(ROOT / "scripts", folder / "source/scripts")
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", folder,
        folder / "source/python", CDDP_LIBRARY=os.environ["CDDP_LIBRARY"])
    (built,) = folder.glob("*.whl")
    return built


def test_it_serves_every_python(wheel):
    assert wheel.name == "cddp-0.1.0-py3-none-linux_x86_64.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert {"cddp/lib/libcddp.so.1", "cddp/py.typed", "cddp/optimizer.py"} <= set(names)
    assert not [name for name in names if name.endswith(".pyc") or name.startswith("cddp/lib/libgrpc")]


def test_it_trains_in_a_fresh_environment_beside_grpc(wheel, tmp_path, start_servers):
    run(sys.executable, "-m", "venv", "--system-site-packages", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", wheel)
    (tmp_path / "train.py").write_text(TRAINING.replace("SERVERS", start_servers()))
    for first in ("", "import cddp.client, cddp.library; cddp.library.library()\n"):  # loaded before and after the others
        (tmp_path / "first.py").write_text(first + (tmp_path / "train.py").read_text() if first else
                                           (tmp_path / "train.py").read_text())
        words = run(python, tmp_path / "first.py")
        assert "exchanged beside grpc" in words and str(tmp_path / "venv") in words
        (tmp_path / "train.py").write_text(TRAINING.replace("SERVERS", start_servers()))
