// CDDP_CHECK(condition) << "what is wrong";
//
// For invariants that no peer, file or user can break, where continuing would make wrong bits in a result or on disk.
// Always on. Prints "FILE:LINE: CHECK failed: CONDITION: MESSAGE" to standard error and ends the process with SIGABRT.
// Not for bad input, which gets an absl::Status.

#ifndef COMMON_CHECK_CHECK_H_
#define COMMON_CHECK_CHECK_H_

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "absl/base/optimization.h"

namespace cddp {

// Collects the message; its destructor ends the process.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition) {
    message_ << file << ":" << line << ": CHECK failed: " << condition << ": ";
  }
  CheckFailure(const CheckFailure&) = delete;
  CheckFailure& operator=(const CheckFailure&) = delete;
  [[noreturn]] ~CheckFailure() {
    std::fprintf(stderr, "%s\n", message_.str().c_str());
    std::abort();
  }

  std::ostream& message() { return message_; }

 private:
  std::ostringstream message_;
};

// Turns the stream into void, for ?:. Its operator binds looser than << and tighter than ?:.
struct CheckStatement {
  void operator&(const std::ostream&) {}
};

}  // namespace cddp

#define CDDP_CHECK(condition)                     \
  ABSL_PREDICT_TRUE(static_cast<bool>(condition)) \
  ? (void)0 : ::cddp::CheckStatement() & ::cddp::CheckFailure(__FILE__, __LINE__, #condition).message()

#endif  // COMMON_CHECK_CHECK_H_
