#!/usr/bin/python3
"""Event files hold what a run was. They are read here as their formats are described: TFRecord by hand, Event by protobuf.

usage: tensorboard_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import math
import pathlib
import struct
import subprocess
import sys
import unittest

import programs
from programs import FieldTest

PYTHON = "/usr/bin/python3"  # Debian's, which has NumPy
PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "python"
LIBRARY = None  # of the build that is tested

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError:
    descriptor_pb2 = None


def event_type():
    """The message Event of tensorflow/core/util/event.proto, as far as scalars need it."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="t", syntax="proto3")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for field_name, number, kind, label, type_name in fields:
            made.field.add(name=field_name, number=number, type=kind, label=label, type_name=type_name)

    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    message("Value", ("tag", 1, field.TYPE_STRING, one, None), ("simple_value", 2, field.TYPE_FLOAT, one, None))
    message("Summary", ("value", 1, field.TYPE_MESSAGE, many, ".t.Value"))
    message("Event", ("wall_time", 1, field.TYPE_DOUBLE, one, None), ("step", 2, field.TYPE_INT64, one, None),
            ("file_version", 3, field.TYPE_STRING, one, None), ("summary", 5, field.TYPE_MESSAGE, one, ".t.Summary"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("t.Event")
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def masked_crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    crc ^= 0xffffffff
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def read_events(folder):
    """All scalars of a folder: tag to list of (step, value)."""
    scalars = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        events = []
        while data:
            length, length_crc = struct.unpack_from("<QI", data)
            body, (body_crc,) = data[12:12 + length], struct.unpack_from("<I", data, 12 + length)
            assert (length_crc, body_crc) == (masked_crc32c(data[:8]), masked_crc32c(body)), path
            events.append(event_type().FromString(body))
            data = data[16 + length:]
        assert events[0].file_version == "brain.Event:2" and not events[0].summary.value
        for event in events[1:]:
            assert event.wall_time >= events[0].wall_time
            for value in event.summary.value:
                scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars


@unittest.skipUnless(descriptor_pb2, "python3-protobuf is not installed")
class Tensorboard(FieldTest):
    EXCHANGE = {"exchange/pushed_bytes", "exchange/pulled_bytes", "exchange/ratio", "exchange/residual_norm",
                "exchange/wait_seconds"}

    def test_a_run_is_there_with_every_step_and_epoch(self):
        run = self.train("out", "--workers=2", f"--tensorboard={self.folder}/events", "--ratio=0.1")
        self.assertEqual(run.code, 0, run.words())
        scalars = read_events(self.folder / "events")
        self.assertEqual(set(scalars), self.EXCHANGE | {"loss/train", "loss/test", "accuracy/test"})
        steps = 640 // (2 * 16)
        for tag in self.EXCHANGE | {"loss/train"}:
            self.assertEqual([step for step, _ in scalars[tag]], list(range(1, 2 * steps + 1)), tag)
            self.assertTrue(all(math.isfinite(value) for _, value in scalars[tag]), tag)
        report = self.report("out")
        epochs = report["epochs"]
        for tag, name in (("loss/test", "test_loss"), ("accuracy/test", "test_accuracy")):
            self.assertEqual([step for step, _ in scalars[tag]], [steps, 2 * steps])
            for (_, value), epoch in zip(scalars[tag], epochs):
                self.assertAlmostEqual(value, epoch[name], 6)
        pushed = sum(value for _, value in scalars["exchange/pushed_bytes"])
        self.assertLess(abs(2 * pushed / report["pushed_bytes"] - 1), 0.2, "half of both workers'")
        self.assertGreater(scalars["loss/train"][0][1], scalars["loss/train"][-1][1])
        self.assertLess(0.05, scalars["exchange/ratio"][-1][1])
        self.assertLess(scalars["exchange/ratio"][-1][1], 0.3)

    def test_a_run_of_a_script_is_there(self):
        script = ("import cddp, numpy\n"
                  "w = numpy.zeros(3000, numpy.float32)\n"
                  "with cddp.Arrays({'w': w}, local_steps=2) as arrays:\n"
                  "    for i in range(8):\n"
                  "        w += 1 + numpy.arange(3000) % 7\n"
                  "        arrays.step(loss=8.0 - i)\n")
        run = self.run_to_end("cddp", "run", "--workers=2", "--servers=1", f"--tensorboard={self.folder}/events",
                              f"--output={self.folder}/out", "--", PYTHON, "-c", script,
                              env={"PYTHONPATH": str(PACKAGE), "CDDP_LIBRARY": str(LIBRARY), "PATH": "/usr/bin:/bin"})
        self.assertEqual(run.code, 0, run.words() + run.output())
        scalars = read_events(self.folder / "events")
        self.assertEqual(set(scalars), self.EXCHANGE | {"loss/train"})
        self.assertEqual(scalars["loss/train"], [(2, 7.0), (4, 5.0), (6, 3.0), (8, 1.0)])

    def test_a_folder_that_cannot_be_written_is_said_at_once(self):
        run = self.train("out", "--workers=2", "--tensorboard=/dev/null/events")
        self.assertEqual(run.code, 2, run.words())
        self.assertIn("--tensorboard: cannot write to the folder '/dev/null/events'", run.words())


if __name__ == "__main__":
    LIBRARY = pathlib.Path(sys.argv.pop(2)).resolve()
    programs.main()
