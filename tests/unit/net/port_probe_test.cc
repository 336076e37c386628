#include "common/net/port_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "common/net/listen.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kTimeout = absl::Seconds(5);

// Takes one connection, reads what comes first, answers and closes.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer) : sockets_(*ListenOn({"127.0.0.1", 0})) {
    thread_ = std::thread([this, answer = std::move(answer)] {
      int fd = -1;
      while ((fd = accept(sockets_.fds[0], nullptr, nullptr)) < 0) std::this_thread::yield();
      char piece[256];
      (void)!recv(fd, piece, sizeof(piece), 0);
      (void)!send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      close(fd);
    });
  }
  ~OneAnswer() {
    thread_.join();
    close(sockets_.fds[0]);
  }
  HostPort address() const { return {"127.0.0.1", sockets_.port}; }

 private:
  ListenSockets sockets_;
  std::thread thread_;
};

std::string Probe(const std::string& answer, bool tls) {
  const OneAnswer server(answer);
  return ProbePort(server.address(), tls, kTimeout);
}

const std::string kSettings("\0\0\0\4\0\0\0\0\0", 9);
const std::string kAlert("\x15\x03\x01\0\2\2\x28", 7);

TEST(PortProbeTest, TellsProtocolsApart) {
  EXPECT_THAT(Probe(kSettings, false), IsEmpty());
  EXPECT_THAT(Probe(kAlert, true), IsEmpty());
  EXPECT_THAT(Probe(kAlert, false), HasSubstr("it speaks TLS"));
  EXPECT_THAT(Probe(kSettings, true), HasSubstr("it speaks plaintext"));
  EXPECT_THAT(Probe("HTTP/1.1 400 Bad Request\r\n\r\n", false), HasSubstr("an HTTP server"));
  EXPECT_THAT(Probe("HTTP/1.1 400 Bad Request\r\n\r\n", true), HasSubstr("an HTTP server"));
  EXPECT_THAT(Probe("SSH-2.0-OpenSSH_9.2\r\n", false), HasSubstr("another protocol"));
  EXPECT_THAT(Probe("", false), HasSubstr("closes connections at once"));
}

TEST(PortProbeTest, TellsWhyThereIsNoConnection) {
  const ListenSockets closed = *ListenOn({"127.0.0.1", 0});
  close(closed.fds[0]);
  EXPECT_THAT(ProbePort({"127.0.0.1", closed.port}, false, kTimeout), HasSubstr("nothing listens there"));
  EXPECT_THAT(ProbePort({"no-such-host.invalid", 1}, false, kTimeout), HasSubstr("has no address"));
  const ListenSockets silent = *ListenOn({"127.0.0.1", 0});
  EXPECT_THAT(ProbePort({"127.0.0.1", silent.port}, false, absl::Milliseconds(50)), HasSubstr("sends nothing"));
  close(silent.fds[0]);
}

}  // namespace
}  // namespace cddp
