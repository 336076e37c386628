#!/usr/bin/python3
"""cddp train --model=FILE.pt: any TorchScript module on arrays of any shape.

usage: torchscript_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import programs
from programs import FieldTest

# Debian's, which has PyTorch.
PYTHON = "/usr/bin/python3"
MODELS = pathlib.Path(__file__).with_name("torchscript_models.py")
HAS_TORCH = subprocess.run([PYTHON, "-c", "import numpy, torch"], capture_output=True).returncode == 0


@unittest.skipUnless(HAS_TORCH, f"{PYTHON} has no torch")
class TorchScript(FieldTest):
    @classmethod
    def setUpClass(cls):
        cls.files = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.files)
        subprocess.run([PYTHON, MODELS, "make", cls.files], check=True)

    def train_model(self, output, model, data, *flags):
        """cddp train with two workers, to the end."""
        return self.run_to_end("cddp", "train", f"--model={self.files}/{model}", f"--data={self.files}/{data}",
                               "--workers=2", "--epochs=6", "--batch_size=16", f"--output={self.folder}/{output}", *flags)

    def check(self, model, output, data="images.npz"):
        found = subprocess.run([PYTHON, MODELS, "check", self.files / model, self.folder / output / "model.pt",
                                self.files / data], capture_output=True, text=True)
        self.assertEqual(found.returncode, 0, found.stderr)
        return json.loads(found.stdout)

    def test_an_mlp_and_a_cnn_learn_dense_and_compressed_and_python_loads_them(self):
        for model, kept in (("mlp.pt", ["scale"]), ("cnn.pt", ["table"])):
            for flags in (["--nocompress"], ["--ratio=0.1"]):
                output = model + flags[0]
                run = self.train_model(output, model, "images.npz", "--lr=0.1", *flags)
                self.assertEqual(run.code, 0, run.words())
                self.assertIn("the same at all 2 workers", run.output())
                found = self.check(model, output)
                self.assertGreater(found["accuracy"], 0.95, output)
                self.assertAlmostEqual(found["accuracy"], self.report(output)["epochs"][-1]["test_accuracy"], 2)
                self.assertFalse(found["training"])
                self.assertFalse(set(kept) & set(found["changed"]), found)
                self.assertLessEqual({"bn.running_mean", "bn.num_batches_tracked"} if model == "cnn.pt" else {"fc1.bias"},
                                     set(found["changed"]))

    def test_it_is_a_function_of_seed_and_files_and_any_kind_of_file_gives_the_same(self):
        checksums = {}
        for data in ("images.npz", "images"):
            run = self.train_model(data, "mlp.pt", data)
            self.assertEqual(run.code, 0, run.words())
            checksums[data] = self.report(data)["weights_crc32c"]
        self.assertEqual(checksums["images.npz"], checksums["images"])
        self.train_model("seed", "mlp.pt", "images", "--seed=7")
        self.assertNotEqual(self.report("seed")["weights_crc32c"], checksums["images"])

    def test_a_durable_run_and_adamw_go_as_for_built_in_models(self):
        run = self.train_model("durable", "cnn.pt", "images.npz", "--durable", "--optimizer=adamw", "--lr=0.01")
        self.assertEqual(run.code, 0, run.words())
        self.assertGreater(self.check("cnn.pt", "durable")["accuracy"], 0.9)

    def test_what_was_trained_is_trained_on(self):
        self.train_model("first", "mlp.pt", "images.npz", "--lr=0.1", "--nocompress")
        self.assertGreater(self.report("first")["test_accuracy"], 0.95)
        run = self.run_to_end("cddp", "train", f"--model={self.folder}/first/model.pt", f"--data={self.files}/images.npz",
                              "--workers=2", "--epochs=1", "--lr=0.0001", f"--output={self.folder}/second")
        self.assertEqual(run.code, 0, run.words())
        self.assertGreater(self.report("second")["epochs"][0]["test_accuracy"], 0.95)

    def test_other_losses(self):
        for model, data, loss in (("own_loss.pt", "images.npz", "auto"), ("regression.pt", "numbers.npz", "mse"),
                                  ("regression.pt", "numbers.npz", "bce")):
            run = self.train_model(model + loss, model, data, f"--loss={loss}", "--lr=0.002")
            self.assertEqual(run.code, 0, run.words())
            epochs = self.report(model + loss)["epochs"]
            self.assertLess(epochs[-1]["test_loss"], epochs[0]["test_loss"], model + loss)
            self.assertEqual(epochs[-1]["test_accuracy"] is None, loss != "bce")

    def test_images_of_the_data_set(self):
        run = self.run_to_end("cddp", "train", f"--model={self.files}/cnn1.pt", f"--data_dir={self.folder}/data",
                              "--workers=2", "--epochs=2", f"--output={self.folder}/idx")
        self.assertEqual(run.code, 0, run.words())

    def test_what_cannot_be_is_said_before_any_process_is_started(self):
        for model, data, flags, message in (
                ("none.pt", "images.npz", [], "none.pt: there is no such file"),
                ("mlp.pt", "none.npz", [], "none.npz: there is no such file or folder"),
                ("rubbish.pt", "images.npz", [], "is no TorchScript file: save it in Python with torch.jit.save"),
                ("tensors.pt", "images.npz", [], "holds no TorchScript program"),
                ("frozen.pt", "images.npz", [], "no parameters that require a gradient (was it frozen?)"),
                ("half.pt", "images.npz", [], "only float32 is trained: save model.float()"),
                ("counting.pt", "images.npz", [], "its buffer seen, Long [1], changes in training"),
                ("cnn1.pt", "images.npz", [], "its method forward cannot take inputs of Float [4, 3, 8, 8]: Given groups=1"),
                ("mlp.pt", "images.npz", ["--loss=module"], "the module has no method loss: write def loss(self"),
                ("long_loss.pt", "images.npz", [], "its method loss takes 3 arguments, not 2"),
                ("own_loss.pt", "images.npz", ["--loss=mse"], "gives something else than one tensor"),
                ("regression.pt", "numbers.npz", [], "for numbers choose --loss=mse or bce"),
                ("regression.pt", "flat_numbers.npz", ["--loss=mse"],
                 "outputs are Float [4, 1], targets Float [4]: they must have one shape"),
                ("three.pt", "images.npz", [], "it tells 3 classes apart, 0 to 2; the targets go from 0 to 3"),
                ("mlp.pt", "images.npz", ["--loss=nll"], "use auto, cross_entropy, mse, bce or module"),
                ("mlp.pt", "images.npz", ["--batch_size=400"], "need 800 examples a step, there are 640"),
                ("mlp.pt", "images.npz", ["--servers=2"], "--servers=2: the model has 1 bucket(s)"),
                ("mlp.pt", "rubbish.pt", [], "rubbish.pt: is of no known kind")):
            run = self.train_model("wrong", model, data, *flags)
            self.assertEqual((run.code, len(run.words().splitlines())), (2, 1), run.words())
            self.assertIn(message, run.words())
            self.assertFalse((self.folder / "wrong").exists(), "a process may have been started")
        run = self.run_to_end("cddp", "train", "--loss=mse")
        self.assertIn("--loss=mse has no effect with --model=simple_cnn", run.words())

    def test_workers_with_other_files_do_not_join(self):
        for model, data, message in (("cnn.pt", "images.npz", "model_crc32c"), ("mlp.pt", "other.npz", "data_crc32c")):
            _, address = self.start_server("--workers=2")
            flags = ["--workers=2", "--epochs=1"]
            first = self.start("cddp-worker", f"--servers={address}", f"--model={self.files}/mlp.pt",
                               f"--data={self.files}/images.npz", "--rank=0", "--progress=json", *flags)
            first.until('"event":"joined"')
            other = self.run_to_end("cddp-worker", f"--servers={address}", f"--model={self.files}/{model}",
                                    f"--data={self.files}/{data}", "--rank=1", *flags)
            self.assertEqual(other.code, 2, other.words())
            self.assertIn(message, other.words())


if __name__ == "__main__":
    programs.main()
