#include "common/transport/tokens.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/log/log.h"

namespace cddp {
namespace {

constexpr size_t kShortest = 16;  // shorter ones can be guessed

// The characters that HTTP/2 allows in a header's value, except the space.
bool IsToken(absl::string_view text) {
  return text.size() >= kShortest && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::vector<std::string> Words(absl::string_view line) {
  return absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
}

}  // namespace

std::optional<Role> ParseRole(absl::string_view name) {
  if (name == "worker") return Role::kWorker;
  if (name == "operator") return Role::kOperator;
  return std::nullopt;
}

absl::StatusOr<std::vector<TokenTable::Entry>> TokenTable::Parse(const std::string& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (!text.ok()) return text.status();
  std::vector<Entry> entries;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    ++number;
    const std::vector<std::string> words = Words(line);
    if (words.empty() || words[0][0] == '#') continue;
    const std::optional<Role> role = ParseRole(words[0]);
    if (words.size() != 2 || !role.has_value() || !IsToken(words[1])) {  // the line itself is a secret
      return absl::InvalidArgumentError(absl::StrCat(path, ":", number,
                                                     ": not 'worker TOKEN' or 'operator TOKEN' with a token of ",
                                                     kShortest, " or more visible ASCII characters (--token_file)"));
    }
    entries.push_back({*role, words[1]});
  }
  if (entries.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " holds no token (--token_file)"));
  return entries;
}

absl::StatusOr<std::unique_ptr<TokenTable>> TokenTable::Read(const std::string& path) {
  std::unique_ptr<TokenTable> table(new TokenTable(path));
  MutexLock lock(table->mutex_);
  (void)table->file_.Changed();
  absl::StatusOr<std::vector<Entry>> entries = Parse(path);
  if (!entries.ok()) return entries.status();
  table->entries_ = *std::move(entries);
  return table;
}

std::optional<Role> TokenTable::Find(absl::string_view token) {
  MutexLock lock(mutex_);
  if (file_.Changed()) {
    absl::StatusOr<std::vector<Entry>> entries = Parse(file_.path());
    if (entries.ok()) {
      entries_ = *std::move(entries);
      LogInfo(absl::StrCat("event=tokens_read file=", file_.path(), " tokens=", entries_.size()));
    } else {
      LogError(absl::StrCat("event=tokens_not_read reason=\"", entries.status().message(), "; the old ones hold\""));
    }
  }
  std::optional<Role> role;
  for (const Entry& entry : entries_) {
    const bool equal =
        entry.token.size() == token.size() && CRYPTO_memcmp(entry.token.data(), token.data(), token.size()) == 0;
    if (equal) role = entry.role;
  }
  return role;
}

absl::StatusOr<std::string> TokenFile::Parse(const std::string& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (!text.ok()) return text.status();
  const absl::string_view token = absl::StripAsciiWhitespace(*text);
  if (!IsToken(token)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " does not hold one token of ", kShortest,
                                                   " or more visible ASCII characters (--token_file)"));
  }
  return std::string(token);
}

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Read(const std::string& path) {
  std::unique_ptr<TokenFile> file(new TokenFile(path));
  MutexLock lock(file->mutex_);
  (void)file->file_.Changed();
  absl::StatusOr<std::string> token = Parse(path);
  if (!token.ok()) return token.status();
  file->token_ = *std::move(token);
  return file;
}

std::string TokenFile::token() {
  MutexLock lock(mutex_);
  if (file_.Changed()) {
    if (absl::StatusOr<std::string> token = Parse(file_.path()); token.ok()) token_ = *std::move(token);
  }
  return token_;
}

}  // namespace cddp
