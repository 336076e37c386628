#include "worker/data/text_dataset.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLookedAt = 8000;  // as Git does
constexpr uint64_t kMostBytes = UINT32_MAX;

// Appends the files in `folder` and its folders. Skips names that begin with a dot.
absl::Status ListFiles(const fs::path& folder, std::vector<fs::path>* files) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (absl::StartsWith(entry->path().filename().string(), ".") || entry->is_symlink()) continue;
    if (entry->is_directory()) {
      if (absl::Status status = ListFiles(entry->path(), files); !status.ok()) return status;
    } else if (entry->is_regular_file()) {
      files->push_back(entry->path());
    }
  }
  if (error) return absl::InvalidArgumentError(absl::StrCat("--data: ", folder.string(), ": ", error.message()));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  // An empty file sets the stream's failbit, as nothing could be inserted.
  if (!file.is_open() || file.bad()) {
    return absl::InvalidArgumentError(absl::StrCat("--data: ", path.string(), " cannot be read"));
  }
  return bytes.str();
}

bool LooksBinary(absl::string_view bytes) { return absl::StrContains(bytes.substr(0, kLookedAt), '\0'); }

absl::StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code error;
  std::vector<fs::path> files = {path};
  if (!fs::exists(path, error)) return absl::NotFoundError(absl::StrCat("--data=", path, ": there is no such file"));
  if (fs::is_directory(path, error)) {
    files.clear();
    if (absl::Status status = ListFiles(path, &files); !status.ok()) return status;
    std::sort(files.begin(), files.end());
  }
  std::string text;
  size_t left_out = 0;
  for (const fs::path& file : files) {
    absl::StatusOr<std::string> bytes = ReadFile(file);
    if (!bytes.ok()) return bytes.status();
    if (LooksBinary(*bytes)) {
      ++left_out;
      spdlog::debug("event=data_left_out file=\"{}\"", file.string());
      continue;
    }
    if (text.size() + bytes->size() > kMostBytes) {
      return absl::InvalidArgumentError(absl::StrCat("--data=", path, ": more than 4 GB of text: give a part of it"));
    }
    text += *bytes;
  }
  if (left_out > 0) {
    spdlog::warn("event=data_left_out files={} of={} reason=\"they look binary\"", left_out, files.size());
  }
  return text;
}

}  // namespace

absl::StatusOr<TextDataset> LoadTextDataset(const std::string& path, uint32_t context, const DatasetLimits& limits) {
  if (context == 0) return absl::InvalidArgumentError("--context must be at least 1");
  absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return text.status();
  TextDataset data;
  data.context = context;
  const size_t for_validation = text->size() / 10;
  data.validation = text->substr(text->size() - for_validation);
  text->resize(text->size() - for_validation);
  data.train = *std::move(text);
  if (data.train_windows() == 0 || data.validation_windows() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--data=", path, ": its ", data.train.size() + data.validation.size(),
                     " bytes of text are too few for --context=", context,
                     ", of which the last tenth must hold one more: give more text or a smaller context"));
  }
  if (limits.train_examples != 0 && limits.train_examples < data.train_windows()) {
    data.train.resize((limits.train_examples + 1) * context);
  }
  if (limits.test_examples != 0 && limits.test_examples < data.validation_windows()) {
    data.validation.resize(limits.test_examples * context + 1);
  }
  return data;
}

}  // namespace cddp
