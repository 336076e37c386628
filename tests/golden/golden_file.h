// Golden files: the bytes of a format as they were when its version was raised last. A change of writer and reader at
// once passes every other test; here it fails, for the file has not changed with them.
//
// To renew the files after a change that was meant: raise the format's version, then run golden_test with
// CDDP_RENEW_GOLDEN=1 in the environment, look at the difference, and commit it. A run that renews fails, so that none
// is taken for a test.

#ifndef TESTS_GOLDEN_GOLDEN_FILE_H_
#define TESTS_GOLDEN_GOLDEN_FILE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

// Expects `bytes` to be those of the golden file `name`, or writes them to it when asked to renew.
void ExpectGolden(const std::string& name, absl::string_view bytes);

// All bytes of a golden file; empty if there is none.
std::string ReadGolden(const std::string& name);

// All bytes of a file; empty if there is none.
std::string ReadWhole(const std::string& path);

}  // namespace cddp

#endif  // TESTS_GOLDEN_GOLDEN_FILE_H_
