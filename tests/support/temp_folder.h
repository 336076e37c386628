// A folder that is removed with the test, and the content of files.

#ifndef TESTS_SUPPORT_TEMP_FOLDER_H_
#define TESTS_SUPPORT_TEMP_FOLDER_H_

#include <filesystem>
#include <string>

#include "absl/strings/string_view.h"

namespace cddp {

// Its name is unique for every process and test. Declare it before the objects that write there.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string string() const { return path_.string(); }
  std::string File(absl::string_view name) const;
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// Empty if there is no such file.
std::string ReadFile(const std::string& path);

}  // namespace cddp

#endif  // TESTS_SUPPORT_TEMP_FOLDER_H_
