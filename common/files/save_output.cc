#include "common/files/save_output.h"

#include <stdlib.h>

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

std::string NewRefuge() {
  std::error_code error;
  std::string folder = (std::filesystem::temp_directory_path(error) / "cddp-saved-XXXXXX").string();
  return !error && mkdtemp(folder.data()) != nullptr ? folder : "";
}

}  // namespace

absl::Status SaveOutput(const std::string& path, const std::function<absl::Status(const std::string&)>& write,
                        Clock& clock, const SaveOptions& options) {
  const absl::Duration deadline = clock.Now() + options.patience;
  absl::Status status = write(path);
  if (!status.ok() && options.on_first) options.on_first(status);
  while (!status.ok() && clock.Now() < deadline) {
    if ((options.should_stop && options.should_stop()) || !clock.Sleep(options.pause)) break;
    status = write(path);
  }
  if (status.ok()) return status;
  const std::string refuge = options.refuge.empty() ? NewRefuge() : options.refuge;
  const std::string saved = (std::filesystem::path(refuge) / std::filesystem::path(path).filename()).string();
  const absl::Status second =
      refuge.empty() ? absl::InternalError("there is no folder for temporary files") : write(saved);
  return absl::InternalError(absl::StrCat(
      status.message(),
      second.ok() ? absl::StrCat("; it is saved as ", saved, " instead: move it from there")
                  : absl::StrCat("; it could not be saved elsewhere either and is lost: ", second.message())));
}

}  // namespace cddp
