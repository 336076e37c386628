// Bearer tokens from files, reread when a file changes.

#ifndef COMMON_TRANSPORT_TOKENS_H_
#define COMMON_TRANSPORT_TOKENS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/sync/mutex.h"
#include "common/transport/watched_file.h"

namespace cddp {

// A caller's role: workers train, operators inspect and control (server/access.h).
enum class Role { kWorker, kOperator };

std::optional<Role> ParseRole(absl::string_view name);

// Metadata key of a token, and the prefix of its value.
inline constexpr char kTokenKey[] = "authorization";
inline constexpr absl::string_view kTokenPrefix = "Bearer ";

// A server's tokens: lines `role token`; '#' begins a comment line. A role may have several tokens, so that one
// can be replaced without a gap. Thread-safe.
class TokenTable {
 public:
  // NotFound for an unreadable file; InvalidArgument names the line that is wrong, or says that there is no token.
  static absl::StatusOr<std::unique_ptr<TokenTable>> Read(const std::string& path);

  // Compares with all tokens, in a time that depends on lengths only.
  std::optional<Role> Find(absl::string_view token);

 private:
  struct Entry {
    Role role;
    std::string token;
  };
  explicit TokenTable(const std::string& path) : file_(path) {}
  static absl::StatusOr<std::vector<Entry>> Parse(const std::string& path);

  Mutex mutex_;
  WatchedFile file_ ABSL_GUARDED_BY(mutex_);
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

// A client's one token. Thread-safe.
class TokenFile {
 public:
  // NotFound for an unreadable file; InvalidArgument if it does not hold exactly one token.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Read(const std::string& path);

  // The present token. If the file has become unreadable, the old token stays.
  std::string token();

 private:
  explicit TokenFile(const std::string& path) : file_(path) {}
  static absl::StatusOr<std::string> Parse(const std::string& path);

  Mutex mutex_;
  WatchedFile file_ ABSL_GUARDED_BY(mutex_);
  std::string token_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_TOKENS_H_
