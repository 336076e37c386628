// Updates: one file for each index encoding and one for each value encoding.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "tests/golden/golden_file.h"

namespace cddp {
namespace {

using ::testing::ElementsAreArray;

float Signed(size_t i, float magnitude) { return i % 3 == 0 ? -magnitude : magnitude; }

// More than one block of indices, a gap of exactly one escape and one of several; a length that fills no whole byte.
constexpr uint32_t kLength = 6001;
std::vector<uint32_t> Indices() {
  std::vector<uint32_t> indices;
  uint32_t next = 2;
  for (uint32_t i = 0; i < 1100; ++i) {
    if (i == 500) next += 255;
    if (i == 700) next += 600;
    indices.push_back(next);
    next += 1 + i % 7;
  }
  return indices;
}

// Magnitudes that int8 holds exactly: each block of 256 has 1 and 128, so that levels are integers.
std::vector<float> Int8Values(size_t count) {
  std::vector<float> values;
  for (size_t i = 0; i < count; ++i) {
    const size_t magnitude = i % 256 < 2 ? 1 + i % 256 * 127 : 1 + i * 37 % 128;
    values.push_back(Signed(i, static_cast<float>(magnitude)));
  }
  return values;
}

class IndexGoldenTest : public ::testing::TestWithParam<IndexEncoding> {};

TEST_P(IndexGoldenTest, IsReadAndWrittenAsBefore) {
  const std::string name = absl::StrCat("update_", std::string(Name(GetParam())), "_int8.bin");
  std::vector<float> values = Int8Values(Indices().size());
  std::string bytes;
  EncodeSparse(Indices(), absl::MakeSpan(values), kLength, GetParam(), ValueEncoding::kInt8, &bytes);
  ExpectGolden(name, bytes);

  const absl::StatusOr<DecodedUpdate> update = DecodeUpdate(ReadGolden(name), kLength);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_THAT(update->indices, ElementsAreArray(Indices()));
  EXPECT_THAT(update->values, ElementsAreArray(Int8Values(Indices().size())));
}

INSTANTIATE_TEST_SUITE_P(All, IndexGoldenTest,
                         ::testing::Values(IndexEncoding::kGap8, IndexEncoding::kRice, IndexEncoding::kBitmap),
                         [](const auto& info) { return std::string(Name(info.param)); });

// A magnitude that the encoding holds exactly beside those of the other i.
float ExactMagnitude(ValueEncoding encoding, size_t i) {
  const auto step = static_cast<float>(i * 37 % 128);
  switch (encoding) {
    case ValueEncoding::kFp32:
    case ValueEncoding::kFp16:
      return 1 + step / 1024;
    case ValueEncoding::kBf16:
      return 1 + step / 128;
    case ValueEncoding::kInt8:
      return 1 + step;
    case ValueEncoding::kInt4:
      return 1 + static_cast<float>(i * 37 % 8);
    case ValueEncoding::kInt2:
      return i % 2 == 0 ? 4 : 1;
    case ValueEncoding::kTernary:
      return 2;
  }
  return 0;
}

constexpr size_t kExact = 256;  // a block of values; after it come some that are rounded
constexpr size_t kRounded = 45;

std::vector<float> DenseValues(ValueEncoding encoding) {
  std::vector<float> values;
  for (size_t i = 0; i < kExact; ++i) values.push_back(Signed(i, ExactMagnitude(encoding, i)));
  for (size_t i = 0; i < kRounded; ++i) values.push_back(Signed(i, static_cast<float>(1 + i * 37 % 128) / 100));
  return values;
}

class ValueGoldenTest : public ::testing::TestWithParam<ValueEncoding> {};

TEST_P(ValueGoldenTest, IsReadAndWrittenAsBefore) {
  const std::string name = absl::StrCat("update_dense_", std::string(Name(GetParam())), ".bin");
  const std::vector<float> values = DenseValues(GetParam());
  std::vector<float> as_read = values;
  std::string bytes;
  EncodeDense(absl::MakeSpan(as_read), GetParam(), &bytes);
  ExpectGolden(name, bytes);

  const absl::StatusOr<DecodedUpdate> update = DecodeUpdate(ReadGolden(name), kExact + kRounded);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_THAT(update->values, ElementsAreArray(as_read));
  const std::vector<float> exact(update->values.begin(), update->values.begin() + kExact);
  EXPECT_THAT(exact, ElementsAreArray(values.data(), kExact));
}

INSTANTIATE_TEST_SUITE_P(All, ValueGoldenTest,
                         ::testing::Values(ValueEncoding::kFp32, ValueEncoding::kFp16, ValueEncoding::kBf16,
                                           ValueEncoding::kInt8, ValueEncoding::kInt4, ValueEncoding::kInt2,
                                           ValueEncoding::kTernary),
                         [](const auto& info) { return std::string(Name(info.param)); });

}  // namespace
}  // namespace cddp
