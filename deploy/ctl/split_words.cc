#include "deploy/ctl/split_words.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace cddp::ctl {

absl::StatusOr<std::vector<std::string>> SplitWords(absl::string_view text) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quote == 0 && absl::ascii_isspace(c)) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == quote) {
      quote = 0;
    } else if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else {
      if (c == '\\' && quote != '\'' && i + 1 < text.size()) c = text[++i];
      words.back().push_back(c);
    }
  }
  if (quote != 0)
    return absl::InvalidArgumentError(absl::StrCat("a quote (", std::string(1, quote), ") is not closed"));
  return words;
}

}  // namespace cddp::ctl
