"""The images that the test needs, under names of its own: those of docker/Dockerfile and Prometheus'."""

import pathlib
import shutil
import subprocess
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
HERE = SOURCE / "tests" / "docker"


class Images:
    def __init__(self, prefix):
        self._prefix = prefix
        self._names = []

    def name(self, what):
        return f"{self._prefix}-{what}:test"

    def _build(self, what, context, *arguments):
        self._names.append(self.name(what))
        # The host's network: the packages' mirror may be in reach of this machine alone.
        done = subprocess.run(
            ["docker", "build", "--network=host", "--force-rm", f"--tag={self.name(what)}", *arguments, str(context)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"docker build of {what}:\n" + "\n".join(done.stdout.splitlines()[-40:]))

    def make_base(self):
        self._names.append(self.name("base"))
        subprocess.run([HERE / "make_base", self.name("base")], check=True)

    def build(self, programs):
        """`programs`: folder of the programs to take as they are; None builds them from source in the image."""
        arguments = [f"--build-arg=BASE={self.name('base')}", f"--file={SOURCE}/docker/Dockerfile"]
        if programs is not None:
            self._pack(programs)
            arguments.append(f"--build-arg=BUILDER_BASE={self.name('programs')}")
        # Each stage has a name, so that all can be removed.
        for target in ("build-server", "runtime", "server", "build-worker", "worker"):
            self._build(target, SOURCE, f"--target={target}", *arguments)

    def _pack(self, programs):
        with tempfile.TemporaryDirectory() as folder:
            context = pathlib.Path(folder)
            for program in ("cddp-server", "cddp-worker", "cddp"):
                shutil.copy(programs / program, context / program)
            (context / "Dockerfile").write_text(
                f"FROM {self.name('base')}\nCOPY cddp-server cddp-worker cddp /opt/cddp/bin/\n")
            self._build("programs", context)

    def build_prometheus(self):
        self._build("prometheus", HERE / "prometheus", f"--build-arg=BASE={self.name('base')}")

    def size(self, what):
        """In bytes."""
        return int(subprocess.check_output(["docker", "image", "inspect", "--format={{.Size}}", self.name(what)]))

    def remove(self):
        subprocess.run(["docker", "rmi", "--force", *reversed(self._names)], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
