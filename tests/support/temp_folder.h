// A folder that goes away with the test.

#ifndef TESTS_UNIT_CTL_TEMP_FOLDER_H_
#define TESTS_UNIT_CTL_TEMP_FOLDER_H_

#include <string>

#include "absl/strings/string_view.h"

namespace cddp::ctl {

class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string File(absl::string_view name) const;

 private:
  std::string path_;
};

// Empty if there is no such file.
std::string ReadFile(const std::string& path);

}  // namespace cddp::ctl

#endif  // TESTS_UNIT_CTL_TEMP_FOLDER_H_
