// For any bytes a decoder either refuses them and changes nothing, or finds a valid update in them.

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"
#include "tests/unit/codec/random_updates.h"

namespace cddp {
namespace {

constexpr size_t kHeader = 20;

std::string Encoded(uint32_t length, double density, IndexEncoding index_encoding, ValueEncoding value_encoding) {
  const std::vector<uint32_t> indices = RandomIndices(length, density, false, 3);
  std::vector<float> values = RandomValues(indices.size(), false, 4);
  std::string bytes;
  EncodeSparse(indices, absl::MakeSpan(values), length, index_encoding, value_encoding, &bytes);
  return bytes;
}

bool Finite(float value) { return (std::bit_cast<uint32_t>(value) & 0x7f800000u) != 0x7f800000u; }

// True if the bytes were taken, and then they must be a valid update.
bool RefusedOrValid(absl::string_view given, uint32_t length) {
  // An exact heap copy, so that a sanitizer sees a read past the end.
  const std::vector<char> copy(given.begin(), given.end());
  const absl::string_view bytes(copy.data(), copy.size());
  std::vector<float> target(length, 1);
  const absl::Status added = AddUpdate(bytes, absl::MakeSpan(target));
  const absl::StatusOr<DecodedUpdate> decoded = DecodeUpdate(bytes, length);
  EXPECT_EQ(added.ok(), decoded.ok());
  EXPECT_EQ(added.ok(), ValidateUpdate(bytes, length).ok());
  if (!added.ok()) {
    EXPECT_EQ(added.code(), absl::StatusCode::kInvalidArgument);
    for (float value : target) EXPECT_EQ(value, 1);
    return false;
  }
  EXPECT_EQ(decoded->indices.size(), decoded->values.size());
  for (size_t i = 0; i < decoded->indices.size(); ++i) {
    EXPECT_LT(decoded->indices[i], length);
    if (i > 0) {
      EXPECT_LT(decoded->indices[i - 1], decoded->indices[i]);
    }
    EXPECT_TRUE(Finite(decoded->values[i]));
  }
  return true;
}

class HostileUpdateTest : public ::testing::TestWithParam<std::tuple<IndexEncoding, ValueEncoding>> {
 protected:
  std::string Small() const { return Encoded(900, 0.05, std::get<0>(GetParam()), std::get<1>(GetParam())); }
};

INSTANTIATE_TEST_SUITE_P(Encodings, HostileUpdateTest,
                         ::testing::Combine(::testing::ValuesIn(kSparseIndexEncodings),
                                            ::testing::ValuesIn(kAllValueEncodings)),
                         [](const auto& info) {
                           return absl::StrCat(Name(std::get<0>(info.param)), "_", Name(std::get<1>(info.param)));
                         });

TEST_P(HostileUpdateTest, EveryTruncationIsRefused) {
  const std::string bytes = Small();
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(RefusedOrValid(bytes.substr(0, size), 900)) << size;
  EXPECT_FALSE(RefusedOrValid(bytes + '\0', 900));
}

TEST_P(HostileUpdateTest, EveryBitFlipIsRefusedOrValid) {
  const std::string bytes = Small();
  ASSERT_TRUE(RefusedOrValid(bytes, 900));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const bool taken = RefusedOrValid(flipped, 900);
    if (bit / 8 >= 4 && bit / 8 < kHeader) {
      EXPECT_FALSE(taken) << "header bit " << bit;
    }
  }
}

TEST(HostileEntryPointsTest, FlippedBitsAreRefused) {
  for (IndexEncoding encoding : {IndexEncoding::kGap8, IndexEncoding::kRice}) {
    const std::string bytes = Encoded(9000, 0.3, encoding, ValueEncoding::kFp16);  // 3 blocks: 2 entries
    ASSERT_TRUE(RefusedOrValid(bytes, 9000));
    for (size_t bit = kHeader * 8; bit < (kHeader + 16) * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(RefusedOrValid(flipped, 9000)) << bit;
    }
  }
}

RC_GTEST_PROP(HostileUpdateProperty, RandomDamageIsRefusedOrValid, ()) {
  const IndexEncoding index_encoding = *rc::gen::elementOf(
      std::vector<IndexEncoding>(std::begin(kSparseIndexEncodings), std::end(kSparseIndexEncodings)));
  std::string bytes = Encoded(9000, 0.3, index_encoding, ValueEncoding::kInt4);
  const auto damages = *rc::gen::inRange(1, 6);
  for (int i = 0; i < damages; ++i) {
    const auto at = *rc::gen::inRange<size_t>(kHeader, bytes.size());
    bytes[at] = *rc::gen::arbitrary<char>();
  }
  RefusedOrValid(bytes, 9000);
  RC_ASSERT(!::testing::Test::HasFailure());
}

void Put32(uint32_t value, size_t at, std::string* bytes) { std::memcpy(bytes->data() + at, &value, sizeof(value)); }

TEST(HostileUpdateHeaderTest, BombsAreRefusedBeforeMemoryIsTaken) {
  for (IndexEncoding encoding : kSparseIndexEncodings) {
    std::string bytes = Encoded(900, 0.05, encoding, ValueEncoding::kTernary);
    // A count of 2^28 would be a gigabyte of values; the declared sizes are made to agree with it.
    Put32(kMaxBucketLength, 4, &bytes);
    Put32(kMaxBucketLength, 8, &bytes);
    Put32(0, 12, &bytes);
    Put32(static_cast<uint32_t>(bytes.size() - kHeader), 16, &bytes);
    EXPECT_EQ(DecodeUpdate(bytes, kMaxBucketLength).status().code(), absl::StatusCode::kInvalidArgument);
    Put32(0xffffffffu, 12, &bytes);
    Put32(0xffffffffu, 16, &bytes);
    EXPECT_EQ(DecodeUpdate(bytes, kMaxBucketLength).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(HostileUpdateHeaderTest, TheErrorSaysWhatIsWrong) {
  using ::testing::HasSubstr;
  const std::string bytes = Encoded(900, 0.05, IndexEncoding::kGap8, ValueEncoding::kFp16);
  EXPECT_THAT(ValidateUpdate(bytes, 901).status().message(), HasSubstr("900 elements, this one has 901"));
  EXPECT_THAT(ValidateUpdate("short", 900).status().message(), HasSubstr("5 bytes"));
  std::string other = bytes;
  other[0] = 9;
  EXPECT_THAT(ValidateUpdate(other, 900).status().message(), HasSubstr("version 9"));
  other = bytes;
  other[1] = 4;
  EXPECT_THAT(ValidateUpdate(other, 900).status().message(), HasSubstr("index encoding 4"));
  other = bytes;
  other[2] = 7;
  EXPECT_THAT(ValidateUpdate(other, 900).status().message(), HasSubstr("value encoding 7"));
  other = bytes;
  other[other.size() - 1] = '\x7c';  // a binary16 infinity
  other[other.size() - 2] = '\0';
  EXPECT_THAT(ValidateUpdate(other, 900).status().message(), HasSubstr("NaN or infinity"));
}

TEST(HostileUpdateHeaderTest, CountsAndSizesMustAgree) {
  std::vector<float> values(8, 1);
  std::string bytes;
  EncodeDense(absl::MakeSpan(values), ValueEncoding::kFp16, &bytes);
  ASSERT_TRUE(RefusedOrValid(bytes, 8));
  bytes[2] = static_cast<char>(ValueEncoding::kFp32);
  EXPECT_FALSE(RefusedOrValid(bytes, 8));
  bytes[2] = static_cast<char>(ValueEncoding::kFp16);
  ASSERT_TRUE(RefusedOrValid(bytes, 8));
  Put32(7, 4, &bytes);
  EXPECT_THAT(ValidateUpdate(bytes, 7).status().message(), ::testing::HasSubstr("8 values for 7 elements"));
  Put32(9, 4, &bytes);
  EXPECT_FALSE(RefusedOrValid(bytes, 9)) << "a dense update lacks a value";
}

TEST(HostileUpdateHeaderTest, NonFiniteValuesAreRefused) {
  for (ValueEncoding encoding : {ValueEncoding::kFp32, ValueEncoding::kBf16, ValueEncoding::kTernary}) {
    std::vector<float> values = {1};
    std::string bytes;
    EncodeDense(absl::MakeSpan(values), encoding, &bytes);
    const size_t top = encoding == ValueEncoding::kTernary ? 2 : 1;  // the sign byte comes after the scale
    for (char high : {'\x7f', '\xff'}) {
      std::string bad = bytes;
      bad[bad.size() - top] = high;
      bad[bad.size() - top - 1] = '\x80';
      EXPECT_FALSE(RefusedOrValid(bad, 1)) << Name(encoding);
    }
  }
}

}  // namespace
}  // namespace cddp
