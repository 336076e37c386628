#include "common/config/command_line.h"

#include <errno.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/config/similar_name.h"

namespace cddp {

bool InScope(const FlagScope& scope, const absl::CommandLineFlag& flag) {
  const std::string file = flag.Filename();
  return std::find(scope.names.begin(), scope.names.end(), flag.Name()) != scope.names.end() ||
         std::any_of(scope.files.begin(), scope.files.end(),
                     [&](const std::string& part) { return absl::StrContains(file, part); });
}

namespace {

constexpr absl::Duration kLongestDuration = absl::Hours(24 * 366);

// A duration may be a number without a unit: seconds. absl::ParseDuration requires a unit.
absl::Status SetDuration(absl::CommandLineFlag& flag, absl::string_view text) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag.Name(), "=", text, " is not understood: ", why,
                                                   "; write 5s, 500ms or 1.5h, or a number of seconds"));
  };
  double seconds = 0;
  absl::Duration duration;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return wrong("it is no duration");
  }
  if (!(duration >= absl::ZeroDuration())) return wrong("it is less than nothing");
  // A longer wait would look like a hang.
  if (duration > kLongestDuration) return wrong("it is longer than a year");
  std::string error;
  flag.ParseFrom(absl::FormatDuration(duration), &error);
  return absl::OkStatus();
}

absl::Status SetFlag(absl::CommandLineFlag& flag, absl::string_view value) {
  if (flag.IsOfType<absl::Duration>()) return SetDuration(flag, value);
  std::string error;
  if (flag.ParseFrom(value, &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag.Name(), "=", value, " is not understood",
                                                 error.empty() ? "" : ": ", absl::StrReplaceAll(error, {{"\n", " "}})));
}

// A switch may have no value, and never takes the next argument as one: bools, and flags whose default is "false"
// (--healthcheck, --healthcheck=ADDRESS).
bool IsSwitch(const absl::CommandLineFlag& flag) { return flag.IsOfType<bool>() || flag.DefaultValue() == "false"; }

absl::CommandLineFlag* Find(absl::string_view name, const FlagScope* scope) {
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag != nullptr && scope != nullptr && !InScope(*scope, *flag) ? nullptr : flag;
}

absl::Status UnknownFlag(absl::string_view name, const FlagScope* scope) {
  std::vector<std::string> known = {"flagfile", "help"};
  for (const auto& [other, flag] : absl::GetAllFlags()) {
    if (scope != nullptr && !InScope(*scope, *flag)) continue;
    known.emplace_back(other);
    if (flag->IsOfType<bool>()) known.push_back(absl::StrCat("no", other));
  }
  const std::string meant = SimilarName(name, known);
  return absl::InvalidArgumentError(absl::StrCat("unknown flag --", name,
                                                 meant.empty() ? "" : absl::StrCat("; did you mean --", meant, "?"),
                                                 " (--help lists the flags)"));
}

// Reads "--name" and "name=value" of one argument; *next is the following argument, consumed if it is the
// value.
absl::Status ParseOne(absl::string_view argument, const std::string* next, const FlagScope* scope,
                      bool* consumed_next) {
  *consumed_next = false;
  absl::string_view name = absl::StripPrefix(absl::StripPrefix(argument, "-"), "-");
  absl::string_view value;
  bool has_value = false;
  if (const size_t equals = name.find('='); equals != absl::string_view::npos) {
    value = name.substr(equals + 1);
    name = name.substr(0, equals);
    has_value = true;
  }
  absl::CommandLineFlag* flag = Find(name, scope);
  if (flag == nullptr && !has_value && absl::StartsWith(name, "no")) {
    flag = Find(name.substr(2), scope);
    if (flag != nullptr && flag->IsOfType<bool>()) return SetFlag(*flag, "false");
    flag = nullptr;
  }
  if (flag == nullptr) return UnknownFlag(name, scope);
  if (has_value) return SetFlag(*flag, value);
  if (IsSwitch(*flag)) return SetFlag(*flag, "true");
  if (next == nullptr) return absl::InvalidArgumentError(absl::StrCat("--", name, " needs a value"));
  *consumed_next = true;
  return SetFlag(*flag, *next);
}

absl::StatusOr<std::vector<std::string>> ReadFlagFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::InvalidArgumentError(absl::StrCat("--flagfile: cannot read '", path, "'"));
  std::vector<std::string> args;
  for (std::string line; std::getline(file, line);) {
    absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text.front() == '#') continue;
    if (!absl::StartsWith(text, "-")) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": '", text, "' is not a flag (--name=value)"));
    }
    args.emplace_back(text);
  }
  return args;
}

absl::Status ParseInto(const std::vector<std::string>& args, int depth, const FlagScope* scope,
                       std::vector<std::string>* positional) {
  if (depth > 8) return absl::InvalidArgumentError("--flagfile: files include each other");
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& argument = args[i];
    if (argument == "--") {
      positional->insert(positional->end(), args.begin() + i + 1, args.end());
      break;
    }
    if (argument.size() < 2 || argument[0] != '-') {
      positional->push_back(argument);
      continue;
    }
    if (absl::string_view path = argument; absl::ConsumePrefix(&path, "--flagfile=")) {
      absl::StatusOr<std::vector<std::string>> inner = ReadFlagFile(std::string(path));
      if (!inner.ok()) return inner.status();
      if (absl::Status status = ParseInto(*inner, depth + 1, scope, positional); !status.ok()) return status;
      continue;
    }
    bool consumed_next = false;
    const std::string* next = i + 1 < args.size() ? &args[i + 1] : nullptr;
    if (absl::Status status = ParseOne(argument, next, scope, &consumed_next); !status.ok()) return status;
    i += consumed_next;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseCommandLine(const std::vector<std::string>& args,
                                                          const FlagScope* scope) {
  std::vector<std::string> positional;
  if (absl::Status status = ParseInto(args, 0, scope, &positional); !status.ok()) return status;
  return positional;
}

absl::Status RefuseWords(const std::vector<std::string>& args, const std::vector<std::string>& positional) {
  if (positional.empty()) return absl::OkStatus();
  const std::string& word = positional.front();
  std::string error = absl::StrCat("'", word, "' is not a flag (--name=value)");
  // After a switch the word looks like its value.
  const auto found = std::find(args.begin(), args.end(), word);
  if (found != args.end() && found != args.begin() && absl::StartsWith(*(found - 1), "-") && *(found - 1) != "--" &&
      !absl::StrContains(*(found - 1), "=")) {
    absl::StrAppend(&error, "; did you mean ", *(found - 1), "=", word, "?");
  }
  return absl::InvalidArgumentError(absl::StrCat(error, " (--help lists the flags)"));
}

std::string DescribeFlags(const FlagScope& scope) {
  std::map<std::string, std::string> entries;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (!InScope(scope, *flag)) continue;
    const std::string value = flag->DefaultValue();
    entries[std::string(name)] = absl::StrCat("  --", name, value.empty() ? "" : absl::StrCat(" (default ", value, ")"),
                                              "\n      ", flag->Help(), "\n");
  }
  std::string text;
  for (const auto& [name, entry] : entries) text += entry;
  return text;
}

void ParseCommandLineOrExit(int argc, char** argv, absl::string_view usage, const FlagScope& scope) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto asks = [](const std::string& arg) { return arg == "--help" || arg == "-help" || arg == "-h"; };
  if (std::any_of(args.begin(), args.end(), asks)) {
    std::printf("%s\n\n%s", std::string(usage).c_str(), DescribeFlags(scope).c_str());
    std::exit(0);
  }
  absl::StatusOr<std::vector<std::string>> positional = ParseCommandLine(args, scope.files.empty() ? nullptr : &scope);
  const absl::Status status = positional.ok() ? RefuseWords(args, *positional) : positional.status();
  if (!status.ok()) std::exit(ReportError(status));
}

int ReportError(const absl::Status& status) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument || status.code() == absl::StatusCode::kNotFound
             ? kExitBadInput
             : kExitFailure;
}

}  // namespace cddp
