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
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace cddp {
namespace {

absl::Status SetFlag(absl::CommandLineFlag& flag, absl::string_view value) {
  std::string error;
  if (flag.ParseFrom(value, &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag.Name(), "=", value, " is not understood",
                                                 error.empty() ? "" : ": ", absl::StrReplaceAll(error, {{"\n", " "}})));
}

// A switch may stand without a value, and never takes the next argument for one: bools, and flags that are "false" where
// they are not given (--healthcheck, --healthcheck=ADDRESS).
bool IsSwitch(const absl::CommandLineFlag& flag) { return flag.IsOfType<bool>() || flag.DefaultValue() == "false"; }

// Reads "--name" and "name=value" of one argument; *next is the following argument, consumed where the value stands
// there.
absl::Status ParseOne(absl::string_view argument, const std::string* next, bool* consumed_next) {
  *consumed_next = false;
  absl::string_view name = absl::StripPrefix(absl::StripPrefix(argument, "-"), "-");
  absl::string_view value;
  bool has_value = false;
  if (const size_t equals = name.find('='); equals != absl::string_view::npos) {
    value = name.substr(equals + 1);
    name = name.substr(0, equals);
    has_value = true;
  }
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  if (flag == nullptr && !has_value && absl::StartsWith(name, "no")) {
    flag = absl::FindCommandLineFlag(name.substr(2));
    if (flag != nullptr && flag->IsOfType<bool>()) return SetFlag(*flag, "false");
    flag = nullptr;
  }
  if (flag == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag --", name, " (--help lists the flags)"));
  }
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

absl::Status ParseInto(const std::vector<std::string>& args, int depth, std::vector<std::string>* positional) {
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
      if (absl::Status status = ParseInto(*inner, depth + 1, positional); !status.ok()) return status;
      continue;
    }
    bool consumed_next = false;
    const std::string* next = i + 1 < args.size() ? &args[i + 1] : nullptr;
    if (absl::Status status = ParseOne(argument, next, &consumed_next); !status.ok()) return status;
    i += consumed_next;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ParseCommandLine(const std::vector<std::string>& args) {
  std::vector<std::string> positional;
  if (absl::Status status = ParseInto(args, 0, &positional); !status.ok()) return status;
  return positional;
}

std::string DescribeFlags(const std::vector<std::string>& flag_files) {
  std::map<std::string, std::string> entries;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    const std::string file = flag->Filename();
    const bool ours = std::any_of(flag_files.begin(), flag_files.end(),
                                  [&](const std::string& part) { return absl::StrContains(file, part); });
    if (!ours) continue;
    const std::string value = flag->DefaultValue();
    entries[std::string(name)] = absl::StrCat("  --", name, value.empty() ? "" : absl::StrCat(" (default ", value, ")"),
                                              "\n      ", flag->Help(), "\n");
  }
  std::string text;
  for (const auto& [name, entry] : entries) text += entry;
  return text;
}

std::vector<std::string> ParseCommandLineOrExit(int argc, char** argv, absl::string_view usage,
                                                const std::vector<std::string>& flag_files) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (std::find(args.begin(), args.end(), "--help") != args.end()) {
    std::printf("%s\n\n%s", std::string(usage).c_str(), DescribeFlags(flag_files).c_str());
    std::exit(0);
  }
  absl::StatusOr<std::vector<std::string>> positional = ParseCommandLine(args);
  if (!positional.ok()) std::exit(ReportError(positional.status()));
  return *std::move(positional);
}

int ReportError(const absl::Status& status) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument || status.code() == absl::StatusCode::kNotFound
             ? kExitBadInput
             : kExitFailure;
}

}  // namespace cddp
