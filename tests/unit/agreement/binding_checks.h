// Checks for every program's table of settings.

#ifndef TESTS_UNIT_AGREEMENT_BINDING_CHECKS_H_
#define TESTS_UNIT_AGREEMENT_BINDING_CHECKS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/agreement/agreement.h"
#include "common/agreement/binding.h"

namespace cddp {

template <typename Options>
const Binding<Options>* Find(absl::Span<const Binding<Options>> bindings, absl::string_view name) {
  const auto found = std::find_if(bindings.begin(), bindings.end(), [name](const auto& b) { return b.name == name; });
  return found == bindings.end() ? nullptr : &*found;
}

inline bool IsListed(absl::Span<const Setting> settings, absl::string_view name) {
  return std::any_of(settings.begin(), settings.end(), [name](const Setting& s) { return s.name == name; });
}

// `fields`: members of the options and of the structs in them, but for those structs.
template <typename Options>
void CheckEveryFieldIsBound(absl::Span<const Binding<Options>> bindings, size_t fields) {
  const Options options;
  std::set<const void*> members;
  for (const Binding<Options>& binding : bindings) {
    EXPECT_TRUE(members.insert(binding.address(options)).second) << "bound twice: " << binding.name;
  }
  EXPECT_EQ(members.size(), fields) << "a member of the options is in no table, or a table has one that is gone";
}

// A name that is not listed is compared by nobody, and a listed one that is not bound has no value.
template <typename Options>
void CheckNames(absl::Span<const Setting> settings, absl::Span<const Binding<Options>> bindings) {
  for (const Binding<Options>& binding : bindings) {
    if (!binding.name.empty()) {
      EXPECT_TRUE(IsListed(settings, binding.name)) << binding.name << " is not in common/agreement/settings.cc";
    }
  }
  std::set<absl::string_view> names;
  for (const Setting& setting : settings) {
    EXPECT_TRUE(names.insert(setting.name).second) << "listed twice: " << setting.name;
    if (setting.agree == Agree::kNobody && setting.same_over == Over::kNothing) continue;
    const Binding<Options>* binding = Find(bindings, setting.name);
    EXPECT_TRUE(binding != nullptr && binding->text != nullptr) << setting.name << " has no text";
  }
}

// Of the flags defined in files whose path contains one of `files`.
inline void CheckFlagsAreListed(absl::Span<const Setting> settings, const std::vector<std::string>& files) {
  size_t found = 0;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    const std::string file = flag->Filename();
    if (std::none_of(files.begin(), files.end(), [&](const std::string& f) { return absl::StrContains(file, f); })) {
      continue;
    }
    ++found;
    EXPECT_TRUE(IsListed(settings, absl::StrCat("--", name)))
        << "does --" << name << " change a result? It is not in common/agreement/settings.cc";
  }
  EXPECT_GT(found, 20u) << "the files of the flags have other names";
  for (const Setting& setting : settings) {
    if (!absl::StartsWith(setting.name, "--")) continue;
    EXPECT_NE(absl::FindCommandLineFlag(absl::StripPrefix(setting.name, "--")), nullptr) << setting.name;
  }
}

// Another value than the flag's own, in its text.
inline std::string AnotherValue(const absl::CommandLineFlag& flag) {
  for (const char* value : {"true", "0.12500000000000003", "3", "3s", "async", "adamw", "cosine", "fp16", "rice",
                            "threshold", "none", "mse", "127.0.0.1:7", "json"}) {
    std::string error;
    const std::string before = flag.CurrentValue();
    auto& writable = const_cast<absl::CommandLineFlag&>(flag);
    if (!writable.ParseFrom(value, &error)) continue;
    const std::string after = flag.CurrentValue();
    writable.ParseFrom(before, &error);
    if (after != before) return value;
  }
  return "";
}

// Sets the flag of each setting that matters to another value: `describe` must tell that, exactly, and nothing else.
template <typename Describe>
void CheckFlagsAreDescribed(absl::Span<const Setting> settings, bool (*wanted)(const Setting&), Describe describe) {
  const std::string before = describe();
  for (const Setting& setting : settings) {
    absl::CommandLineFlag* flag = absl::FindCommandLineFlag(absl::StripPrefix(setting.name, "--"));
    if (!wanted(setting) || flag == nullptr) continue;
    const std::string own = flag->CurrentValue();
    std::string error;
    ASSERT_NE(AnotherValue(*flag), "") << setting.name;
    ASSERT_TRUE(flag->ParseFrom(AnotherValue(*flag), &error)) << error;
    const auto differences = Differences(before, describe());
    ASSERT_EQ(differences.size(), 1u) << setting.name << ": " << describe();
    EXPECT_EQ(differences[0].name, setting.name);
    ASSERT_TRUE(flag->ParseFrom(own, &error)) << error;
  }
  EXPECT_EQ(describe(), before);
}

}  // namespace cddp

#endif  // TESTS_UNIT_AGREEMENT_BINDING_CHECKS_H_
