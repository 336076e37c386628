// Words as a shell would split them, for flags that hold flags.

#ifndef DEPLOY_CTL_SPLIT_WORDS_H_
#define DEPLOY_CTL_SPLIT_WORDS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cddp::ctl {

// Blanks separate words, except within '...' and "...". A backslash quotes the next character, except within '...'.
// InvalidArgument if a quote is not closed.
absl::StatusOr<std::vector<std::string>> SplitWords(absl::string_view text);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_SPLIT_WORDS_H_
