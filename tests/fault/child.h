// A program as a process of its own, to be killed at any moment.

#ifndef TESTS_FAULT_CHILD_H_
#define TESTS_FAULT_CHILD_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cddp {

// A number given in the environment, to repeat a schedule or to make a longer one.
uint64_t Setting(const char* name, uint64_t otherwise);

// Not thread-safe. A failure is one of the test that uses it.
class Child {
 public:
  // Starts `program` of the build's folder; standard output and error are appended to files.
  Child(const std::string& program, const std::vector<std::string>& flags, const std::string& output,
        const std::string& errors);
  ~Child();  // kills it
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void Send(int signal) const;
  void Kill();      // with SIGKILL; returns once it is gone
  bool HasEnded();  // does not wait
  int Wait();       // its exit code, 128 and the signal if it was killed

 private:
  pid_t pid_ = -1;
  int status_ = 0;
};

std::string FileContent(const std::string& path);

}  // namespace cddp

#endif  // TESTS_FAULT_CHILD_H_
