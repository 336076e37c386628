// --local_steps: the number of steps between two exchanges, as the user gives it.

#ifndef COMMON_CONFIG_STEPS_CHOICE_H_
#define COMMON_CONFIG_STEPS_CHOICE_H_

#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/config/auto_choice.h"

namespace cddp {

struct StepsChoice {
  enum class Kind {
    kFixed,
    kAuto,    // as few as the network hides, decided by all workers together
    kRepeat,  // the decisions of another run's kAuto
  };
  Kind kind = Kind::kFixed;
  uint32_t steps = 1;                     // with kFixed
  std::string decisions = std::string();  // with kRepeat: the file

  friend bool operator==(const StepsChoice&, const StepsChoice&) = default;
};

// For ABSL_FLAG: "4", "auto", "@FILE". The number's range is not checked.
inline bool AbslParseFlag(absl::string_view text, StepsChoice* choice, std::string* error) {
  *choice = {};
  if (ParseAutoOrFile(text, choice) || absl::SimpleAtoi(text, &choice->steps)) return true;
  *error = "use a whole number, auto, or @FILE with an earlier run's decisions";
  return false;
}

inline std::string AbslUnparseFlag(const StepsChoice& choice) {
  return UnparseAutoOrFile(choice, absl::StrCat(choice.steps));
}

// The steps that lead to the first `exchanges` of a training, with `local_steps` before each: an epoch's last exchange
// may follow fewer. The other numbers are at least 1.
inline uint64_t StepsOfExchanges(uint64_t exchanges, uint64_t local_steps, uint64_t steps_per_epoch) {
  const uint64_t rounds = (steps_per_epoch + local_steps - 1) / local_steps;  // of an epoch
  return exchanges / rounds * steps_per_epoch + exchanges % rounds * local_steps;
}

}  // namespace cddp

#endif  // COMMON_CONFIG_STEPS_CHOICE_H_
