// A cddp-server as a process of its own, to be killed and started again at the same address.

#ifndef TESTS_FAULT_SERVER_PROCESS_H_
#define TESTS_FAULT_SERVER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace cddp {

// Not thread-safe. A failure is one of the test that uses it.
class ServerProcess {
 public:
  // Starts cddp-server with `flags` besides its addresses, and waits until it listens.
  explicit ServerProcess(std::vector<std::string> flags) : flags_(std::move(flags)) { Start(); }
  ~ServerProcess() { Kill(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  void Kill();              // with SIGKILL; returns once it is gone
  void Signal(int signal);  // sends it, no more
  int Wait();               // until it is gone; its wait status (waitpid)
  void Start();             // at the address that it had, if it had one

  const std::string& address() const { return address_; }

 private:
  const std::vector<std::string> flags_;
  std::string address_;
  pid_t pid_ = -1;
};

}  // namespace cddp

#endif  // TESTS_FAULT_SERVER_PROCESS_H_
