// Published updates in the form in which they go out: as fields of a BucketAnswer, one behind the other. An answer of
// many versions is then a few pieces of memory, which all calls share with the log and nobody copies.

#ifndef SERVER_UPDATE_RUN_H_
#define SERVER_UPDATE_RUN_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/strings/string_view.h"

namespace cddp {

// Never changed once made. Any thread.
struct UpdateRun {
  std::shared_ptr<const char> data;
  size_t size = 0;

  absl::string_view bytes() const { return {data.get(), size}; }
};

// Bytes that `update` takes in a run.
size_t SizeInRun(absl::string_view update);

// Writes SizeInRun(update) bytes to `to`; returns where the update itself begins, of them.
char* WriteToRun(absl::string_view update, char* to);

// A run of one, in memory of its own.
UpdateRun RunOf(absl::string_view update);

// The updates of a run, which must live as long. Empty if it is none.
std::vector<absl::string_view> UpdatesOf(const UpdateRun& run);

}  // namespace cddp

#endif  // SERVER_UPDATE_RUN_H_
