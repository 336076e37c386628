// Immutable bytes that several holders share: an encoded update on its way from the compressor to the network, from the
// network to the journal, and from the log to every waiting call, without a copy in between.

#ifndef COMMON_BYTES_SHARED_BYTES_H_
#define COMMON_BYTES_SHARED_BYTES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "common/check/check.h"

namespace cddp {

// A range of bytes and a reference to their owner, which keeps them alive. A copy costs a reference count. The bytes
// never change while anyone holds them, so any thread may read them.
class SharedBytes {
 public:
  SharedBytes() = default;

  // `bytes` must stay valid and unchanged for as long as `owner` lives.
  SharedBytes(std::shared_ptr<const void> owner, absl::string_view bytes) : owner_(std::move(owner)), bytes_(bytes) {}

  // Takes over the string's memory.
  static SharedBytes Own(std::string bytes) {
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    const absl::string_view view = *owner;
    return SharedBytes(std::move(owner), view);
  }

  absl::string_view view() const { return bytes_; }
  const char* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }

  // The part from `begin` on, `size` bytes long; shares the owner.
  SharedBytes Part(size_t begin, size_t size) const {
    CDDP_CHECK(begin <= bytes_.size() && size <= bytes_.size() - begin)
        << size << " bytes from " << begin << " of " << bytes_.size();
    return SharedBytes(owner_, bytes_.substr(begin, size));
  }

 private:
  std::shared_ptr<const void> owner_;
  absl::string_view bytes_;
};

}  // namespace cddp

#endif  // COMMON_BYTES_SHARED_BYTES_H_
