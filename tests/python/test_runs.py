"""Whole trainings in `cddp run`: ends, failures, kills."""

import os
import pathlib
import signal

import pytest
import torch
from conftest import PROGRAMS  # noqa: F401: sets the paths

# Trains, saves every 5 steps, and kills itself or waits where it is told.
TRAINING = """
import os, pathlib, signal, time, torch, cddp
rank, output = int(os.environ["RANK"]), pathlib.Path(cddp.output())
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.Tanh(), torch.nn.Linear(30, 1))
within = torch.optim.Adam(model.parameters(), lr=0.01)
optimizer = cddp.DistributedOptimizer(within, model, local_steps=2, overlap=OVERLAP, ratio=0.2, bucket_bytes=1024)
saved = pathlib.Path(cddp.state() or output) / f"worker-{rank}.pt"
first = 0
if saved.exists():
    state = torch.load(saved)
    optimizer.load_state_dict(state["optimizer"])
    first = state["step"]
    print("goes on at", first, flush=True)
for step in range(first, STEPS):
    numbers = torch.Generator().manual_seed(step * 10 + rank)
    x = torch.randn(8, 20, generator=numbers)
    optimizer.zero_grad()
    (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
    optimizer.step()
    if step % 5 == 4:
        torch.save({"optimizer": optimizer.state_dict(), "step": step + 1}, saved.with_suffix(".new"))
        os.replace(saved.with_suffix(".new"), saved)
    HERE
if OVERLAP: optimizer.exchange()
optimizer.leave()
torch.save(torch.cat([p.detach().reshape(-1) for p in model.parameters()]), output / f"weights-{rank}")
"""
ONCE = """
    if rank == 1 and step in (13, 22) and not (output / f"killed-{step}").exists():
        (output / f"killed-{step}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""
PAUSE = """
    (output / f"reached-{rank}").write_text(str(step))
    while step == 13 and not (output / "go").exists(): time.sleep(0.01)
"""


def training(steps, here="", overlap=0):
    return TRAINING.replace("STEPS", str(steps)).replace("OVERLAP", str(overlap)).replace("    HERE\n", here)


def weights(run):
    loaded = [torch.load(path) for path in sorted(run.output.glob("weights-*"))]
    assert len(loaded) == 2 and torch.equal(*loaded)
    return loaded[0]


def undisturbed(start_run, steps, overlap=0):
    run = start_run(training(steps, overlap=overlap), "--workers=2")
    assert run.wait() == 0, run.words
    result = weights(run)
    (run.output / "lock").unlink()
    run.output.rename(run.output.with_name("undisturbed"))
    return result


@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_killed_workers_go_on_from_their_states(start_run, overlap):
    wanted = undisturbed(start_run, 30, overlap)
    run = start_run(training(30, ONCE, overlap), "--workers=2", "--durable")
    assert run.wait() == 0, run.words
    assert run.words.count("worker 1 was killed; it goes on from its checkpoint") == 2, run.words
    assert "goes on at 10" in run.log(1) and "goes on at 20" in run.log(1)
    assert torch.equal(weights(run), wanted)


def children(run, name):
    pids = pathlib.Path(f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if name in pathlib.Path(f"/proc/{pid}/cmdline").read_text()]


def test_a_killed_server_goes_on_from_its_journal(start_run):
    wanted = undisturbed(start_run, 20)
    run = start_run(training(20, PAUSE), "--workers=2", "--durable")
    reached = [run.output / f"reached-{rank}" for rank in range(2)]
    run.until(lambda: all(file.exists() and file.read_text() == "13" for file in reached), "step 13")
    os.kill(children(run, "cddp-server")[0], signal.SIGKILL)
    (run.output / "go").touch()
    assert run.wait() == 0, run.words
    assert "was killed; it goes on from its journal" in run.words
    assert torch.equal(weights(run), wanted)


def test_a_run_whose_processes_are_all_gone_is_resumed(start_run):
    wanted = undisturbed(start_run, 20)
    run = start_run(training(20, PAUSE), "--workers=2", "--durable")
    reached = [run.output / f"reached-{rank}" for rank in range(2)]
    run.until(lambda: all(file.exists() and file.read_text() == "13" for file in reached), "step 13")
    run.process.kill()
    run.wait()
    (run.output / "go").touch()
    resumed = start_run(training(20, PAUSE), "--workers=2", "--durable", "--resume")
    assert resumed.wait() == 0, resumed.words
    assert torch.equal(weights(resumed), wanted)


def test_a_worker_that_is_always_killed_ends_the_run(start_run):
    run = start_run(training(30, "    if rank == 1 and step == 13: os.kill(os.getpid(), signal.SIGKILL)\n"), "--workers=2",
                    "--durable")
    assert run.wait() == 128 + signal.SIGKILL
    assert "worker 1 failed with signal SIGKILL" in run.words
    assert run.words.count("worker 1 was killed; it goes on") == 3


def test_an_exception_ends_all_and_is_shown(start_run):
    run = start_run(training(30, "    if rank == 1 and step == 9: raise ValueError('too much')\n"), "--workers=2")
    assert run.wait() == 1
    assert "worker 1 failed with exit code 1" in run.words and "ValueError: too much" in run.words


def test_who_ends_without_leaving_is_missed_by_nobody(start_run):
    # Uneven data: rank 1 has fewer batches, and its script just ends.
    run = start_run(training(30, "    if rank == 1 and step == 9: raise SystemExit\n"), "--workers=2")
    assert run.wait() == 0, run.words
    assert "30" not in run.log(1)
    assert (run.output / "weights-0").exists()


def test_servers_have_the_flags_of_the_run(start_run):
    run = start_run(training(4), "--workers=2", "--outer_lr=0.5")
    assert run.wait() == 1  # the workers refuse servers that do not average
    assert "--optimizer=sgd --lr=0.5" in run.words


def test_the_environment_is_set_for_speed_and_a_users_own_counts(start_run, monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "12345")
    for name in ("OMP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    names = "OMP_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"
    run = start_run(f"import os\nprint([os.environ.get(name) for name in {names}])", "--workers=2")
    assert run.wait() == 1
    assert "have exchanged nothing with the servers: does the program wrap its optimizer" in run.words
    assert f"['1', '{32 << 20}', '12345']" in run.log(1)


def test_cddp_status_shows_the_workers(start_run):
    import subprocess
    run = start_run(training(20, PAUSE), "--workers=2")
    run.until(lambda: (run.output / "reached-0").exists() and (run.output / "reached-0").read_text() == "13", "step 13")
    servers = pathlib.Path(run.folder / "stdout").read_text().split("--servers=")[1].split()[0]
    status = subprocess.run([PROGRAMS / "cddp", "status", f"--servers={servers}"], capture_output=True, text=True, check=True)
    assert "2 of 2 workers take part" in status.stdout
    (run.output / "go").touch()
    assert run.wait() == 0
