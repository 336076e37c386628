#!/usr/bin/python3
"""What tools and workers say about a server that is out of reach: which of the many reasons it is.

usage: messages_test.py FOLDER_OF_PROGRAMS [TEST...]
"""

import http.server
import socket
import threading

import programs
from programs import FieldTest



class OutOfReach(FieldTest):
    def expect(self, address, words, *flags):
        """Tools, the health check and a worker give this reason."""
        health = self.run_to_end("cddp-server", f"--healthcheck={address}", *flags)
        self.assertEqual(health.code, 1)
        self.assertIn(f"cddp-server: server {address}: ", health.words())
        self.assertIn(words, health.words().splitlines()[-1])
        status = self.run_to_end("cddp", "status", f"--servers={address}", "--interval=0.05", "--timeout=1", *flags)
        self.assertEqual(status.code, 1)
        self.assertIn(words, status.output())
        worker = self.start_worker(address, "--server_timeout=3", *flags)
        self.assertEqual(worker.wait(), 1)
        self.assertIn(words, worker.words().splitlines()[-1])
        # After the first try too, not only at the end of all patience.
        self.assertIn(words, next(line for line in worker.words().splitlines() if "waiting_for_server" in line))

    def test_a_closed_port(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.expect(address, "nothing listens there")

    def test_an_http_server(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        server.RequestHandlerClass.log_message = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.expect(f"127.0.0.1:{server.server_port}", "an HTTP server")

    def test_a_server_of_http_2(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():  # the least of HTTP/2: settings, and "404 not found" for every request
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection):
            with connection, connection.makefile("rb") as stream:
                connection.sendall(b"\0\0\0\4\0\0\0\0\0")
                stream.read(24)
                while head := stream.read(9):
                    stream.read(int.from_bytes(head[:3], "big"))
                    if head[3] == 4 and not head[4] & 1:
                        connection.sendall(b"\0\0\0\4\1\0\0\0\0")
                    if head[3] == 1:
                        connection.sendall(b"\0\0\1\1\5" + head[5:9] + b"\x8d")

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        words = "another program answers there"
        status = self.run_to_end("cddp", "status", f"--servers={address}", "--interval=0.05", "--timeout=1")
        self.assertEqual(status.code, 1)
        self.assertIn(words, status.output())
        worker = self.start_worker(address, "--server_timeout=60")
        self.assertEqual(worker.wait(), 1)  # at once: nothing there is going to change
        self.assertIn(words, worker.words().splitlines()[-1])
        for program, flags in (("cddp", ["checkpoint", f"--servers={address}"]),
                               ("cddp-server", [f"--healthcheck={address}"])):
            tool = self.run_to_end(program, *flags)
            self.assertEqual(tool.code, 1)
            self.assertIn(words, tool.words())

    def test_a_service_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.expect(f"127.0.0.1:{silent.getsockname()[1]}", "sends nothing")

    def test_a_name_that_is_none(self):
        self.expect("no-such-host.invalid:50051", "has no address")

    def test_tls_on_one_side_only(self):
        of_server, of_clients = self.tls()
        _, with_tls = self.start_server(*of_server)
        self.expect(with_tls, "TLS")
        _, plain = self.start_server()
        self.expect(plain, "it speaks plaintext", *of_clients)


class Words(FieldTest):
    def test_words_without_effect_are_refused(self):
        data = f"--data_dir={self.folder}/data"
        for program, flags, words in (
                ("cddp", ["train", "--dataset=mnits", data], f"--dataset=mnits has no effect with {data}"),
                ("cddp-server", ["--listen", "127.0.0.1:0", "false"], "'false' is not a flag"),
                ("cddp-worker", ["--model=mlp", "--modle=mlp"], "--model")):
            refused = self.run_to_end(program, *flags)
            self.assertEqual(refused.code, 2)
            self.assertIn(words, refused.words())


if __name__ == "__main__":
    programs.main()
