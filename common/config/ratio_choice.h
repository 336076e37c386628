// --ratio: the part of a gradient's elements that is sent, as the user gives it.

#ifndef COMMON_CONFIG_RATIO_CHOICE_H_
#define COMMON_CONFIG_RATIO_CHOICE_H_

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "common/config/auto_choice.h"

namespace cddp {

struct RatioChoice {
  enum class Kind {
    kFixed,
    kAuto,    // as much as the network hides behind the computation
    kRepeat,  // the decisions of another run's kAuto
  };
  Kind kind = Kind::kFixed;
  double ratio = 0.01;                    // with kFixed
  std::string decisions = std::string();  // with kRepeat: the file

  friend bool operator==(const RatioChoice&, const RatioChoice&) = default;
};

// For ABSL_FLAG: "0.01", "auto", "@FILE". The number's range is not checked.
inline bool AbslParseFlag(absl::string_view text, RatioChoice* choice, std::string* error) {
  *choice = {};
  if (ParseAutoOrFile(text, choice) || absl::SimpleAtod(text, &choice->ratio)) return true;
  *error = "use a number in (0, 1], auto, or @FILE with an earlier run's decisions";
  return false;
}

inline std::string AbslUnparseFlag(const RatioChoice& choice) {
  return UnparseAutoOrFile(choice, absl::StrFormat("%.17g", choice.ratio));
}

}  // namespace cddp

#endif  // COMMON_CONFIG_RATIO_CHOICE_H_
