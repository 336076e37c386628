#include "common/net/talk.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

namespace cddp {
namespace {

using std::chrono::steady_clock;

// Waits for `events`; false after `end`.
bool Await(int fd, int16_t events, steady_clock::time_point end) {
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd watched = {fd, events, 0};
    const int ready = poll(&watched, 1, static_cast<int>(left.count()));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

int Connect(int fd, const SocketAddress& address, steady_clock::time_point end) {
  if (connect(fd, address.get(), address.length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!Await(fd, POLLOUT, end)) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

Heard Talk(int fd, absl::string_view words, absl::FunctionRef<bool(const std::string&)> enough,
           steady_clock::time_point end) {
  Heard heard;
  heard.closed = send(fd, words.data(), words.size(), MSG_NOSIGNAL) < 0;
  while (!heard.closed && !enough(heard.bytes) && Await(fd, POLLIN, end)) {
    char piece[4096];
    const ssize_t got = recv(fd, piece, sizeof(piece), 0);
    if (got < 0 && errno == EINTR) continue;
    heard.closed = got <= 0;
    if (got > 0) heard.bytes.append(piece, static_cast<size_t>(got));
  }
  return heard;
}

}  // namespace cddp
