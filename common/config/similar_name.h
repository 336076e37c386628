// Finds the known name that a user probably meant.

#ifndef COMMON_CONFIG_SIMILAR_NAME_H_
#define COMMON_CONFIG_SIMILAR_NAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cddp {

// The known name with the fewest typing errors to `name`: a letter left out, added, changed, or swapped with its
// neighbour; '-' counts as '_', and capitals as small letters. A unique name that begins with `name` counts as one
// error. Empty if the errors exceed a third of the letters, or if two names are equally near.
std::string SimilarName(absl::string_view name, const std::vector<std::string>& known);

}  // namespace cddp

#endif  // COMMON_CONFIG_SIMILAR_NAME_H_
