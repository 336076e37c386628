// Structs of the C ABI begin with their size: a program may have been compiled with an earlier or a later header than
// this library. A member that an earlier header lacks is zero here, which means its default. A member that only a later
// header has must be zero in the program, since this library does not support it.

#ifndef WORKER_CAPI_SIZED_STRUCT_H_
#define WORKER_CAPI_SIZED_STRUCT_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace cddp::capi {

inline constexpr uint32_t kMostStructBytes = 4096;  // more is not a valid size

// The program's struct_size. InvalidArgument if it is below `least`, the first version's size, or not a valid size.
template <typename T>
absl::StatusOr<uint32_t> SizeOf(const T* given, uint32_t least, const char* name) {
  uint32_t size = 0;
  std::memcpy(&size, given, sizeof(size));
  if (size >= least && size <= kMostStructBytes) return size;
  return absl::InvalidArgumentError(absl::StrCat(name, "'s struct_size is ", size, ", but must be at least ", least,
                                                 ": fill it with its initialiser (CDDP_..._INIT)"));
}

// A copy of a struct that the program filled in. Errors of SizeOf; Unimplemented if a member that this library does not
// know is set.
template <typename T>
absl::StatusOr<T> ReadStruct(const T* given, uint32_t least, const char* name) {
  const absl::StatusOr<uint32_t> size = SizeOf(given, least, name);
  if (!size.ok()) return size.status();
  T read = {};
  std::memcpy(&read, given, std::min<size_t>(*size, sizeof(T)));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t i = sizeof(T); i < *size; ++i) {
    if (bytes[i] != 0) {
      return absl::UnimplementedError(absl::StrCat(name,
                                                   " has a member set that this library does not know: it is of "
                                                   "an earlier version than the program"));
    }
  }
  return read;
}

// Fills in the members of the program's struct that both know; its size, which must have been checked, stays.
template <typename T>
void WriteStruct(T value, uint32_t size, T* to) {
  value.struct_size = size;
  std::memcpy(to, &value, std::min<size_t>(size, sizeof(T)));
}

}  // namespace cddp::capi

#endif  // WORKER_CAPI_SIZED_STRUCT_H_
