#include "worker/data/array_dataset.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/codec/crc32c.h"
#include "common/codec/little_endian.h"
#include "worker/data/npy.h"
#include "worker/data/safetensors.h"
#include "worker/data/zip_file.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;

using Arrays = std::map<std::string, Array>;

constexpr const char* kNames[] = {"x_train", "y_train", "x_test", "y_test"};
constexpr char kNpy[] = ".npy";

bool IsWanted(absl::string_view name) {
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

absl::Status Wrong(const absl::Status& status, absl::string_view where) {
  return absl::Status(status.code(), absl::StrCat("--data: ", where, ": ", status.message()));
}

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return absl::NotFoundError("cannot be read");
  std::string bytes(size, '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) {
    return absl::InvalidArgumentError("cannot be read to its end");
  }
  return bytes;
}

// *all receives the names of all arrays in the file.
absl::StatusOr<Arrays> ReadNpz(const std::string& path, std::vector<std::string>* all) {
  absl::StatusOr<ZipFile> zip = ZipFile::Open(path);
  if (!zip.ok()) return Wrong(zip.status(), path);
  Arrays arrays;
  for (const std::string& member : zip->names()) {
    absl::string_view name = member;
    if (!absl::ConsumeSuffix(&name, kNpy)) continue;
    all->emplace_back(name);
    if (!IsWanted(name)) continue;
    const absl::StatusOr<std::string> bytes = zip->Read(member);
    absl::StatusOr<Array> array = bytes.ok() ? ParseNpy(*bytes) : bytes.status();
    if (!array.ok()) return Wrong(array.status(), absl::StrCat(path, ": ", name));
    arrays.emplace(name, *std::move(array));
  }
  return arrays;
}

absl::StatusOr<Arrays> ReadSafetensors(const std::string& path, std::vector<std::string>* all) {
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  absl::StatusOr<Arrays> arrays = bytes.ok() ? ParseSafetensors(*bytes) : bytes.status();
  if (!arrays.ok()) return Wrong(arrays.status(), path);
  for (const auto& [name, array] : *arrays) all->push_back(name);
  return arrays;
}

absl::StatusOr<Arrays> ReadFolder(const std::string& path, std::vector<std::string>* all) {
  Arrays arrays;
  std::error_code error;
  for (fs::directory_iterator entry(path, error); !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() == kNpy) all->push_back(entry->path().stem());
  }
  if (error) return absl::InvalidArgumentError(absl::StrCat("--data: ", path, ": ", error.message()));
  std::sort(all->begin(), all->end());
  for (const std::string& name : *all) {
    if (!IsWanted(name)) continue;
    const fs::path file = fs::path(path) / absl::StrCat(name, kNpy);
    const absl::StatusOr<std::string> bytes = ReadFile(file);
    absl::StatusOr<Array> array = bytes.ok() ? ParseNpy(*bytes) : bytes.status();
    if (!array.ok()) return Wrong(array.status(), file.string());
    arrays.emplace(name, *std::move(array));
  }
  return arrays;
}

// Reads those of the four arrays that exist.
absl::StatusOr<Arrays> ReadArrays(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    return absl::NotFoundError(absl::StrCat("--data=", path, ": there is no such file or folder"));
  }
  std::vector<std::string> all;
  absl::StatusOr<Arrays> arrays;
  if (fs::is_directory(path, error)) {
    arrays = ReadFolder(path, &all);
  } else if (absl::EndsWith(path, ".npz")) {
    arrays = ReadNpz(path, &all);
  } else if (absl::EndsWith(path, ".safetensors")) {
    arrays = ReadSafetensors(path, &all);
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "--data=", path, ": is of no known kind: give a .npz or .safetensors file, or a folder of .npy files"));
  }
  if (!arrays.ok()) return arrays;
  if (arrays->count("x_train") == 0 || arrays->count("y_train") == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--data=", path, ": the arrays x_train and y_train must be there, and x_test and y_test may be; ",
                     all.empty() ? "there is none" : absl::StrCat("there are ", absl::StrJoin(all, ", "))));
  }
  if (arrays->count("x_test") != arrays->count("y_test")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--data=", path, ": of x_test and y_test only one is there: give both or none"));
  }
  return arrays;
}

// Removes the examples from `begin` on from *from and returns them.
Array SplitOff(uint64_t begin, Array* from) {
  const size_t at = begin * from->item_bytes();
  Array rest = *from;
  rest.shape[0] = static_cast<int64_t>(from->count() - begin);
  rest.bytes.erase(0, at);
  from->bytes.resize(at);
  from->shape[0] = static_cast<int64_t>(begin);
  return rest;
}

void Limit(uint64_t examples, Array* array) {
  if (examples == 0 || examples >= array->count()) return;
  array->bytes.resize(examples * array->item_bytes());
  array->shape[0] = static_cast<int64_t>(examples);
}

// The index of the first element that is not finite; the number of elements if there is none.
template <typename T>
size_t FirstNotFinite(const Array& array) {
  const size_t count = array.bytes.size() / sizeof(T);
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(LoadLe<T>(array.bytes.data() + i * sizeof(T)))) return i;
  }
  return count;
}

absl::Status CheckFinite(absl::string_view name, const Array& array) {
  size_t count = 0;
  size_t bad = 0;
  if (array.type == ElementType::kFloat32 || array.type == ElementType::kFloat64) {
    count = array.bytes.size() / SizeOf(array.type);
    bad = array.type == ElementType::kFloat32 ? FirstNotFinite<float>(array) : FirstNotFinite<double>(array);
  }
  if (bad == count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " has a NaN or an infinity in example ", bad * SizeOf(array.type) / array.item_bytes()));
}

absl::Status CheckPair(absl::string_view part, const Array& inputs, const Array& targets) {
  for (const Array* array : {&inputs, &targets}) {
    const char* letter = array == &inputs ? "x_" : "y_";
    if (array->shape.empty() || array->bytes.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(letter, part, " is ", Describe(*array),
                                                     ": it must have one example or more along its first axis"));
    }
    if (absl::Status status = CheckFinite(absl::StrCat(letter, part), *array); !status.ok()) return status;
  }
  if (inputs.count() == targets.count()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("x_", part, " has ", inputs.count(), " examples, y_", part, " has ",
                                                 targets.count(), ": x is ", Describe(inputs), ", y is ",
                                                 Describe(targets)));
}

absl::Status CheckAlike(absl::string_view letter, const Array& train, const Array& test) {
  if (train.type == test.type &&
      std::equal(train.shape.begin() + 1, train.shape.end(), test.shape.begin() + 1, test.shape.end())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(letter, "_train is ", Describe(train), ", ", letter, "_test ",
                                                 Describe(test), ": they must be alike but for the first extent"));
}

absl::StatusOr<ArrayDataset> Assemble(Arrays arrays, const DatasetLimits& limits) {
  ArrayDataset data = {std::move(arrays["x_train"]), std::move(arrays["y_train"]), std::move(arrays["x_test"]),
                       std::move(arrays["y_test"])};
  if (absl::Status status = CheckPair("train", data.train_inputs, data.train_targets); !status.ok()) return status;
  if (data.test_inputs.shape.empty() && data.test_inputs.bytes.empty()) {
    const uint64_t all = data.train_inputs.count();
    const uint64_t train = all - std::max<uint64_t>(1, all / 10);
    if (train == 0) return absl::InvalidArgumentError("x_train has one example, of which none is left for testing");
    data.test_inputs = SplitOff(train, &data.train_inputs);
    data.test_targets = SplitOff(train, &data.train_targets);
    spdlog::info("event=data_split train={} test={} reason=\"there are no test arrays: the last tenth is for testing\"",
                 train, all - train);
  }
  if (absl::Status status = CheckPair("test", data.test_inputs, data.test_targets); !status.ok()) return status;
  if (absl::Status status = CheckAlike("x", data.train_inputs, data.test_inputs); !status.ok()) return status;
  if (absl::Status status = CheckAlike("y", data.train_targets, data.test_targets); !status.ok()) return status;
  Limit(limits.train_examples, &data.train_inputs);
  Limit(limits.train_examples, &data.train_targets);
  Limit(limits.test_examples, &data.test_inputs);
  Limit(limits.test_examples, &data.test_targets);
  return data;
}

}  // namespace

absl::StatusOr<ArrayDataset> LoadArrayDataset(const std::string& path, const DatasetLimits& limits) {
  absl::StatusOr<Arrays> arrays = ReadArrays(path);
  if (!arrays.ok()) return arrays.status();
  absl::StatusOr<ArrayDataset> data = Assemble(*std::move(arrays), limits);
  if (!data.ok()) return Wrong(data.status(), path);
  return data;
}

uint32_t Checksum(const ArrayDataset& data) {
  uint32_t crc = 0;
  for (const Array* array : {&data.train_inputs, &data.train_targets}) {
    const std::string what = Describe(*array);
    crc = Crc32c(what.data(), what.size(), crc);
    crc = Crc32c(array->bytes.data(), array->bytes.size(), crc);
  }
  return crc;
}

}  // namespace cddp
