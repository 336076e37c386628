// The network between workers and a server, to be cut at any moment.

#ifndef TESTS_FAULT_TCP_PROXY_H_
#define TESTS_FAULT_TCP_PROXY_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"

namespace cddp {

// Carries bytes between whoever connects to address() and a target on loopback. Thread-safe. A failure is one of the
// test that uses it.
class TcpProxy {
 public:
  // `target`: 127.0.0.1:port. All bytes arrive `delay` late, in either direction: half a round trip.
  explicit TcpProxy(const std::string& target, absl::Duration delay = absl::ZeroDuration());
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  const std::string& address() const { return address_; }

  // Resets all connections, in the middle of whatever they carry; returns how many there were.
  int Cut();
  // From now on connections are refused, or taken again.
  void Refuse();
  void Accept();
  // Connections that are made from now on lead to another target.
  void Lead(const std::string& target);

 private:
  struct Link {
    int client;
    int server;
  };

  void Listen(uint16_t port);
  void AcceptLoop(int listener);
  void Connect(int client);
  void Carry(int from, int to);
  // As Carry, with the delay.
  void CarryLate(int from, int to);

  std::atomic<uint16_t> target_port_;
  const absl::Duration delay_;
  uint16_t port_ = 0;
  std::string address_;
  int listener_ = -1;
  std::thread acceptor_;
  Mutex mutex_;
  std::vector<Link> links_ ABSL_GUARDED_BY(mutex_);  // never closed before the end, so that no number comes twice
  size_t cut_ ABSL_GUARDED_BY(mutex_) = 0;           // of them
  std::vector<std::thread> carriers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // TESTS_FAULT_TCP_PROXY_H_
