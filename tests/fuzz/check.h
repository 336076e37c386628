// What must hold, whatever the input.

#ifndef TESTS_FUZZ_CHECK_H_
#define TESTS_FUZZ_CHECK_H_

#include <cstdlib>

// Ends the program, for the fuzzer to report, unless `condition` holds.
inline void Check(bool condition) {
  if (!condition) std::abort();
}

#endif  // TESTS_FUZZ_CHECK_H_
