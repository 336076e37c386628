#!/usr/bin/env python3
"""scripts/include_rule.py: what it lets pass, and what it finds."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../scripts"))
import include_rule  # noqa: E402

TABLE = """
| `Join` | a call | of another table |

## Parts

| folder | what | may use |
|---|---|---|
| `proto/` | messages | |
| `common/bytes` | bytes | |
| `common/net` | channels | `proto`, `common/bytes`, gRPC |
| `server/` | a shard | `common`, `server/journal`, gRPC in `service*`, `main.cc` |
| `server/journal` | its journal | `common` |
| `worker/model` | models | LibTorch |
| `include/cddp` | the library | LibTorch in `torch.hpp` |
| `worker/capi` | the library's functions | `include/cddp` |
| `tests/` | tests | everything |

## Terms

| `server/` | of another table | `worker/model` |
"""

GOOD = {
    "common/bytes/bytes.h": ["<string>", '"absl/strings/cord.h"'],
    "common/net/channel.h": ["<grpcpp/channel.h>", '"common/bytes/bytes.h"', '"cddp/v1/server.pb.h"'],
    "server/service.cc": ['"common/net/channel.h"', '"server/journal/journal.h"'],
    "server/shard.h": ['"common/bytes/bytes.h"'],
    "server/journal/journal.h": ['"common/bytes/bytes.h"'],
    "worker/model/model.h": ["<torch/torch.h>"],
    "include/cddp/cddp.h": ["<stdint.h>"],
    "include/cddp/torch.hpp": ["<torch/torch.h>", '"cddp/cddp.h"'],
    "worker/capi/cddp.cc": ['"cddp/cddp.h"'],
    "tests/unit/net/net_test.cc": ['"common/net/channel.h"', '"worker/model/model.h"'],
}


class IncludeRuleTest(unittest.TestCase):
    def check(self, changes, table=TABLE):
        files = {**GOOD, **changes}
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "ARCHITECTURE.md"), "w", encoding="utf-8") as file:
                file.write(table)
            for name, includes in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                    file.write("// A comment.\n" + "".join(f"#include {include}\n" for include in includes))
            return include_rule.check(root, list(files))

    def assert_problem(self, problems, *parts):
        self.assertEqual(len(problems), 1, problems)
        for part in parts:
            self.assertIn(part, problems[0])

    def test_what_the_table_permits_passes_in_order(self):
        problems, order, graph = self.check({})
        self.assertEqual(problems, [])
        self.assertEqual(set(order), set(graph))
        for folder in order:
            for other in graph[folder]:
                self.assertLess(order.index(other), order.index(folder))

    def test_the_librarys_headers_are_no_messages(self):
        _, _, graph = self.check({})
        self.assertEqual(graph["worker/capi"], {"include/cddp"})
        problems, _, _ = self.check({"worker/capi/more.cc": ['"cddp/torch.hpp"']})
        self.assert_problem(problems, "worker/capi/more.cc:2", "LibTorch is not for this file",
                            "include/cddp/torch.hpp -> torch/torch.h")

    def test_a_folder_that_the_row_does_not_name(self):
        problems, _, _ = self.check({"worker/model/more.h": ["<string>", '"server/shard.h"']})
        self.assert_problem(problems, "worker/model/more.h:3: ", "worker/model may not include server")

    def test_a_library_in_a_file_that_the_row_does_not_name(self):
        problems, _, _ = self.check({"server/shard.cc": ["<grpcpp/server.h>"]})
        self.assert_problem(problems, "server/shard.cc:2: ", "gRPC is not for this file")

    def test_a_library_that_comes_through_another_header(self):
        problems, _, _ = self.check({"server/shard.cc": ['"server/shard.h"', '"common/net/channel.h"']})
        self.assert_problem(problems, "server/shard.cc:3: ", "common/net/channel.h -> grpcpp/channel.h")

    def test_services_made_from_messages_are_grpc(self):
        problems, _, _ = self.check({"server/shard.cc": ['"common/net/stub.h"'],
                                     "common/net/stub.h": ['"cddp/v1/server.grpc.pb.h"']})
        self.assert_problem(problems, "gRPC is not for this file", "cddp/v1/server.grpc.pb.h")

    def test_libtorch_outside_its_folder(self):
        problems, _, _ = self.check({"server/main.cc": ["<ATen/ATen.h>"]})
        self.assert_problem(problems, "server/main.cc:2: ", "LibTorch is not for this file")

    def test_a_circle_of_folders_that_the_table_permits(self):
        table = TABLE.replace("| `server/journal` | its journal | `common` |",
                              "| `server/journal` | its journal | `common`, `server` |")
        problems, _, _ = self.check({"server/journal/events.h": ['"server/shard.h"']}, table)
        self.assert_problem(problems, "include each other", "server/service.cc:3 (server -> server/journal)",
                            "server/journal/events.h:2 (server/journal -> server)")

    def test_a_folder_without_a_row(self):
        problems, _, _ = self.check({"worker/new/new.h": ["<string>"]})
        self.assert_problem(problems, "worker/new/new.h:1: ", "no row")

    def test_words_in_the_table_that_mean_nothing(self):
        with self.assertRaisesRegex(ValueError, "worker/model.*LibTroch"):
            self.check({}, TABLE.replace("LibTorch", "LibTroch"))


if __name__ == "__main__":
    unittest.main()
