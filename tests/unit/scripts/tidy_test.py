#!/usr/bin/env python3
"""scripts/tidy.py: what makes it look at a file anew."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../scripts"))
import tidy  # noqa: E402

FILES = {
    ".clang-tidy": "Checks: performance-*",
    "proto/cddp/v1/server.proto": "message A {}",
    "server/shard.cc": '#include "server/shard.h"\n',
    "server/shard.h": '#include "common/bytes/bytes.h"\n',
    "common/bytes/bytes.h": "class Bytes;\n",
    "common/bytes/other.h": "class Other;\n",
}


class TidyKeyTest(unittest.TestCase):
    def of_files(self, changes, ask):
        """What `ask` says of the Keys of a tree with these files, given its root."""
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**FILES, **(changes or {})}.items():
                os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
                with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                    file.write(text)
            self.addCleanup(setattr, tidy, "ROOT", tidy.ROOT)
            tidy.ROOT = root
            return ask(tidy.Keys(), root)

    def key(self, changes=None, command="c++ -O2 server/shard.cc"):
        return self.of_files(changes, lambda keys, root: keys.key("server/shard.cc", command.replace("ROOT", root)))

    def test_the_same_code_in_another_checkout_has_the_same_key(self):
        self.assertEqual(self.key(command="c++ -IROOT ROOT/server/shard.cc"),
                         self.key(command="c++ -IROOT ROOT/server/shard.cc"))

    def test_whatever_findings_depend_on_changes_the_key(self):
        for name in FILES:
            if name != "common/bytes/other.h":
                self.assertNotEqual(self.key(), self.key({name: FILES[name] + "// Changed.\n"}), name)
        self.assertNotEqual(self.key(), self.key(command="c++ -O3 server/shard.cc"))

    def test_a_header_that_is_not_included_does_not(self):
        self.assertEqual(self.key(), self.key({"common/bytes/other.h": "class Changed;\n"}))

    def test_libtorch_is_seen_through_headers_of_ours(self):
        def asks(keys, _):
            return keys.includes_libtorch("server/shard.cc")
        self.assertFalse(self.of_files({}, asks))
        self.assertTrue(self.of_files({"common/bytes/bytes.h": "#include <torch/torch.h>\n"}, asks))


if __name__ == "__main__":
    unittest.main()
