#!/usr/bin/python3
"""deploy/kubernetes/cddp-files with a stand-in for the cluster: kubectl's commands are noted, and what it executes in the pod
runs here, in a folder in the place of the claim.

usage: cddp_files_test.py; exits with 77 (skipped) without kubectl, whose kustomize is the real one."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import kustomize

STAND_IN = """\
#!/usr/bin/env bash
echo "$*" >>CLAIM.log
case "$1 $2 $3" in
  "--namespace=cddp get persistentvolumeclaim") [ -e CLAIM ] ;;
  "apply --kustomize "*) KUBECTL kustomize "$3" | grep -q PersistentVolumeClaim && mkdir -p CLAIM; true ;;
  "--namespace=cddp exec --stdin") # cddp-files -- sh -c SCRIPT sh FOLDER
    [ "$4 $5 $6 $7" = "cddp-files -- sh -c" ] && exec sh -c "${8//\\/files/CLAIM}" sh "${10/#\\/files/CLAIM}" ;;
  "--namespace=cddp wait "* | "--namespace=cddp delete pod") ;;
  *) exit 99 ;;
esac
"""


class CddpFilesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.claim = self.folder / "claim"
        (self.folder / "bin").mkdir()
        stand_in = self.folder / "bin" / "kubectl"
        stand_in.write_text(STAND_IN.replace("CLAIM", str(self.claim)).replace("KUBECTL", shutil.which("kubectl")))
        stand_in.chmod(0o755)
        (self.folder / "mnist").mkdir()
        (self.folder / "mnist" / "images").write_bytes(bytes(range(256)) * 100)

    def run_files(self, *words):
        environment = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run([kustomize.KUBERNETES / "cddp-files", *words], env=environment, cwd=self.folder,
                              capture_output=True, text=True)

    def log(self):
        return (self.folder / "claim.log").read_text()

    def test_there_and_back(self):
        put = self.run_files("put", "mnist")
        self.assertEqual(put.returncode, 0, put.stderr)
        self.assertEqual((self.claim / "mnist" / "images").read_bytes(), (self.folder / "mnist" / "images").read_bytes())
        self.assertTrue((self.claim / "output").is_dir(), "workers write there")
        self.assertTrue((self.claim / "servers").is_dir(), "a JobSet's servers write there")
        self.assertIn("files/many-nodes", self.log())
        self.assertTrue(self.log().endswith("delete pod cddp-files --wait=false\n"))
        got = self.run_files("get", "mnist", "back")
        self.assertEqual(got.returncode, 0, got.stderr)
        self.assertEqual((self.folder / "back" / "images").read_bytes(), (self.folder / "mnist" / "images").read_bytes())
        self.assertEqual(self.log().count("files/many-nodes"), 1, "a claim that is there stays as it is")
        self.assertEqual(self.run_files("put", "mnist", "other").returncode, 0)
        self.assertEqual(self.run_files("remove", "mnist").returncode, 0)
        self.assertEqual(list((self.claim / "mnist").iterdir()), [])
        self.assertEqual(len(list((self.claim / "other").iterdir())), 1)

    def test_one_node(self):
        self.assertEqual(self.run_files("--one-node", "put", "mnist").returncode, 0)
        self.assertIn("files/one-node", self.log())

    def test_what_is_not_there_is_an_error(self):
        self.assertEqual(self.run_files("put", "mnist").returncode, 0)
        self.assertNotEqual(self.run_files("get", "nothing", "back").returncode, 0)

    def test_bad_input(self):
        for words in ([], ["fly"], ["put"], ["put", "nowhere"], ["put", "mnist", "../x"], ["get", "mnist"], ["remove"],
                      ["remove", ".."], ["remove", ""], ["remove", "a/b"]):
            result = self.run_files(*words)
            self.assertEqual((result.returncode, result.stderr.startswith("cddp-files: ")), (2, True), words)
            self.assertFalse((self.folder / "claim.log").exists(), words)
        self.assertIn("put FOLDER", self.run_files("--help").stdout)


if __name__ == "__main__":
    kustomize.require_tools()
    unittest.main(argv=sys.argv[:1])  # what all tests of this folder are given is not needed
