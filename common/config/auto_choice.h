// Parses "auto" and "@FILE" for flags that may also be numbers: --ratio, --local_steps.

#ifndef COMMON_CONFIG_AUTO_CHOICE_H_
#define COMMON_CONFIG_AUTO_CHOICE_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace cddp {

// For a Choice with a `kind` of its enum Kind { kFixed, kAuto, kRepeat } and `decisions`, the file with kRepeat.
// Returns false and changes nothing if the text is neither.
template <typename Choice>
bool ParseAutoOrFile(absl::string_view text, Choice* choice) {
  if (text == "auto") {
    choice->kind = Choice::Kind::kAuto;
    return true;
  }
  if (!absl::ConsumePrefix(&text, "@") || text.empty()) return false;
  choice->kind = Choice::Kind::kRepeat;
  choice->decisions = std::string(text);
  return true;
}

// `fixed`: the text of the number, with kFixed.
template <typename Choice>
std::string UnparseAutoOrFile(const Choice& choice, const std::string& fixed) {
  if (choice.kind == Choice::Kind::kAuto) return "auto";
  return choice.kind == Choice::Kind::kRepeat ? absl::StrCat("@", choice.decisions) : fixed;
}

}  // namespace cddp

#endif  // COMMON_CONFIG_AUTO_CHOICE_H_
