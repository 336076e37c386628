#include "deploy/ctl/job_check.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/model_names.h"
#include "common/config/similar_name.h"

namespace cddp::ctl {
namespace {

absl::Status CheckModel(const std::string& model) {
  if (IsModelFile(model)) {
    std::error_code error;
    if (std::filesystem::is_regular_file(model, error)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("--model=", model, ": there is no such file"));
  }
  const std::vector<std::string> known(std::begin(kModelNames), std::end(kModelNames));
  if (std::find(known.begin(), known.end(), model) != known.end()) return absl::OkStatus();
  const std::string meant = SimilarName(model, known);
  return absl::InvalidArgumentError(
      absl::StrCat("--model=", model, ": unknown model '", model,
                   "': ", meant.empty() ? "" : absl::StrCat("did you mean ", meant, "? There are "),
                   meant.empty() ? "use " : "", absl::StrJoin(known, ", ")));
}

// The number of images or labels, from the file's header.
absl::StatusOr<uint64_t> Count(const std::filesystem::path& path, uint32_t magic) {
  std::ifstream file(path, std::ios::binary);
  std::array<unsigned char, 8> header;
  if (!file.read(reinterpret_cast<char*>(header.data()), header.size())) {
    return absl::InvalidArgumentError(absl::StrCat("--data_dir: cannot read ", path.string(),
                                                   ": run scripts/setup in the project's folder, or name another "
                                                   "folder with --data_dir"));
  }
  const auto number = [&header](size_t at) {
    return uint32_t{header[at]} << 24 | uint32_t{header[at + 1]} << 16 | uint32_t{header[at + 2]} << 8 | header[at + 3];
  };
  if (number(0) == magic) return number(4);
  return absl::InvalidArgumentError(absl::StrCat(
      "--data_dir: ", path.string(), " is not an IDX file of this kind (compressed files must be unpacked)"));
}

}  // namespace

absl::Status CheckJob(const TrainOptions& options) {
  if (absl::Status status = CheckModel(options.model); !status.ok()) return status;
  uint64_t examples = options.train_examples > 0 ? options.train_examples : UINT32_MAX;
  if (options.learns_text() || options.learns_arrays()) {
    if (std::error_code error; !std::filesystem::exists(options.data, error)) {
      return absl::InvalidArgumentError(absl::StrCat("--data=", options.data, ": there is no such file or folder"));
    }
  } else if (options.model != kShapesModelName) {
    const std::filesystem::path folder = options.data_dir;
    const absl::StatusOr<uint64_t> images = Count(folder / "train-images-idx3-ubyte", 0x803);
    if (!images.ok()) return images.status();
    for (const auto& [name, magic] :
         {std::pair{"train-labels-idx1-ubyte", 0x801u}, std::pair{"t10k-images-idx3-ubyte", 0x803u},
          std::pair{"t10k-labels-idx1-ubyte", 0x801u}}) {
      if (const absl::StatusOr<uint64_t> count = Count(folder / name, magic); !count.ok()) return count.status();
    }
    examples = std::min(examples, *images);
  }
  const uint64_t a_step = uint64_t(options.workers) * options.batch_size;
  if (examples >= a_step) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--batch_size=", options.batch_size, ": ", options.workers,
                                                 " workers need ", a_step, " examples a step, there are ", examples,
                                                 ": use a smaller batch or fewer workers"));
}

}  // namespace cddp::ctl
