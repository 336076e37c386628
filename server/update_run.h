// Published updates in the form in which they are sent: as fields of a BucketAnswer, one after the other. An answer of
// many versions is then a few pieces of memory, which all calls share with the log without copies.

#ifndef SERVER_UPDATE_RUN_H_
#define SERVER_UPDATE_RUN_H_

#include <cstddef>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/bytes/shared_bytes.h"

namespace cddp {

// Bytes that `update` takes in a run.
size_t SizeInRun(absl::string_view update);

// Writes SizeInRun(update) bytes to `to`; returns where the update itself begins, of them.
char* WriteToRun(absl::string_view update, char* to);

// A run of one, in memory of its own.
SharedBytes RunOf(absl::string_view update);

// The updates of a run, which must live as long. Empty if it is none.
std::vector<absl::string_view> UpdatesOf(const SharedBytes& run);
// Those of one run after the other, as parts that share the runs' memory.
std::vector<SharedBytes> UpdatesOfAll(absl::Span<const SharedBytes> runs);

}  // namespace cddp

#endif  // SERVER_UPDATE_RUN_H_
