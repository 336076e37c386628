// Names of settings (settings.h) bound to the members of a program's options: they set a member from its flag's text
// and return the member's exact text. A program has one table of bindings, with every member.

#ifndef COMMON_AGREEMENT_BINDING_H_
#define COMMON_AGREEMENT_BINDING_H_

#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/flags/marshalling.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/agreement/settings.h"

namespace cddp {

// Equal text means equal bits.
template <typename T>
std::string ExactText(const T& value) {
  if constexpr (std::is_floating_point_v<T>) {
    return absl::StrFormat("%.17g", value);
  } else if constexpr (std::is_same_v<T, absl::Duration>) {
    return absl::FormatDuration(value);
  } else {
    return absl::UnparseFlag(value);
  }
}

template <typename Options>
struct Binding {
  absl::string_view name;                              // of a setting; empty: no flag, no setting
  std::function<const void*(const Options&)> address;  // of the member
  std::function<std::string(const Options&)> text;     // null: not compared
  std::function<bool(Options*, absl::string_view text, std::string* error)> set;  // null: not by the flag's text alone
};

// `member` returns a reference to the member: [](auto& options) -> auto& { return options.lr; }.
template <typename Options, typename Member>
Binding<Options> Bind(absl::string_view name, Member member) {
  return {name, [member](const Options& options) -> const void* { return &member(options); },
          [member](const Options& options) { return ExactText(member(options)); },
          [member](Options* options, absl::string_view text, std::string* error) {
            return absl::ParseFlag(text, &member(*options), error);
          }};
}

// A setting that the program derives from its flag or finds out by itself; `text` returns its value.
template <typename Options, typename Member>
Binding<Options> BindText(absl::string_view name, Member member, std::function<std::string(const Options&)> text) {
  return {name, [member](const Options& options) -> const void* { return &member(options); }, std::move(text), nullptr};
}

// A member that the program sets by itself: its source cannot change a result, or is compared by other settings.
template <typename Options, typename Member>
Binding<Options> BindByHand(absl::string_view name, Member member) {
  return BindText<Options>(name, member, nullptr);
}

// Sets all members for which `text_of` returns a flag's text, by name ("--lr"). InvalidArgument names the flag.
template <typename Options>
absl::Status SetFromText(absl::Span<const Binding<Options>> bindings,
                         const std::function<std::string(absl::string_view name)>& text_of, Options* options) {
  for (const Binding<Options>& binding : bindings) {
    if (binding.name.empty() || binding.set == nullptr) continue;
    const std::string text = text_of(binding.name);
    if (std::string error; !binding.set(options, text, &error)) {
      return absl::InvalidArgumentError(absl::StrCat(binding.name, "=", text, " is not understood: ", error));
    }
  }
  return absl::OkStatus();
}

// The settings that `wanted` selects, "--name=value" separated by spaces, in the order of `settings`.
template <typename Options>
std::string Describe(absl::Span<const Setting> settings, absl::Span<const Binding<Options>> bindings,
                     const Options& options, bool (*wanted)(const Setting&)) {
  std::string all;
  for (const Setting& setting : settings) {
    if (!wanted(setting)) continue;
    for (const Binding<Options>& binding : bindings) {
      if (binding.name != setting.name) continue;
      absl::StrAppend(&all, all.empty() ? "" : " ", setting.name, "=", binding.text(options));
    }
  }
  return all;
}

}  // namespace cddp

#endif  // COMMON_AGREEMENT_BINDING_H_
