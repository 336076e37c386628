#include "common/codec/update_codec.h"

#include <cstring>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"
#include "tests/unit/codec/random_updates.h"
#include "tests/unit/codec/simd_targets.h"

namespace cddp {
namespace {

bool SameBits(absl::Span<const float> a, absl::Span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// One update in every pair of encodings: what comes out is what went in, values as EncodeSparse said they would be.
void ExpectRoundTrips(uint32_t length, const std::vector<uint32_t>& indices, const std::vector<float>& values) {
  for (IndexEncoding index_encoding : kSparseIndexEncodings) {
    for (ValueEncoding value_encoding : kAllValueEncodings) {
      SCOPED_TRACE(absl::StrCat(Name(index_encoding), " ", Name(value_encoding)));
      std::vector<float> sent = values;
      std::string bytes = "what was there before";
      EncodeSparse(indices, absl::MakeSpan(sent), length, index_encoding, value_encoding, &bytes);

      const absl::StatusOr<UpdateInfo> info = ValidateUpdate(bytes, length);
      ASSERT_TRUE(info.ok()) << info.status();
      EXPECT_EQ(info->count, indices.size());
      EXPECT_EQ(info->index_encoding, index_encoding);
      EXPECT_EQ(info->value_encoding, value_encoding);
      const absl::StatusOr<DecodedUpdate> decoded = DecodeUpdate(bytes, length);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(decoded->indices, indices);
      EXPECT_TRUE(SameBits(decoded->values, sent));
      EXPECT_TRUE(value_encoding != ValueEncoding::kFp32 || SameBits(sent, values));

      std::vector<float> target(length, 0.25f), expected(length, 0.25f);
      for (size_t i = 0; i < indices.size(); ++i) expected[indices[i]] += sent[i];
      ASSERT_TRUE(AddUpdate(bytes, absl::MakeSpan(target)).ok());
      EXPECT_TRUE(SameBits(target, expected));
      for (uint32_t index : indices) expected[index] = 0;
      ASSERT_TRUE(ClearAtUpdate(bytes, absl::MakeSpan(target)).ok());
      EXPECT_TRUE(SameBits(target, expected));
    }
  }
}

RC_GTEST_PROP(UpdateCodecProperty, SparseUpdatesRoundTrip, ()) {
  const auto length = *rc::gen::inRange<uint32_t>(1, 20000);
  const double density = *rc::gen::element(0.0005, 0.01, 0.1, 0.5, 0.99, 1.0);
  const auto seed = *rc::gen::arbitrary<uint32_t>();
  const std::vector<uint32_t> indices = RandomIndices(length, density, *rc::gen::arbitrary<bool>(), seed);
  ExpectRoundTrips(length, indices, RandomValues(indices.size(), *rc::gen::arbitrary<bool>(), seed));
  RC_ASSERT(!::testing::Test::HasFailure());
}

RC_GTEST_PROP(UpdateCodecProperty, DenseUpdatesRoundTrip, ()) {
  const auto length = *rc::gen::inRange<uint32_t>(1, 5000);
  for (ValueEncoding encoding : kAllValueEncodings) {
    std::vector<float> sent = RandomValues(length, *rc::gen::arbitrary<bool>(), *rc::gen::arbitrary<uint32_t>());
    std::string bytes;
    EncodeDense(absl::MakeSpan(sent), encoding, &bytes);
    const absl::StatusOr<DecodedUpdate> decoded = DecodeUpdate(bytes, length);
    RC_ASSERT(decoded.ok());
    std::vector<uint32_t> all(length);
    std::iota(all.begin(), all.end(), 0);
    RC_ASSERT(decoded->indices == all);
    RC_ASSERT(SameBits(decoded->values, sent));
    std::vector<float> target(length, -0.5f), expected(length, -0.5f);
    for (uint32_t i = 0; i < length; ++i) expected[i] += sent[i];
    RC_ASSERT(AddUpdate(bytes, absl::MakeSpan(target)).ok());
    RC_ASSERT(SameBits(target, expected));
  }
}

TEST(UpdateCodecTest, EdgesOfLengthAndCount) {
  ExpectRoundTrips(1, {}, {});
  ExpectRoundTrips(1, {0}, {1.5f});
  ExpectRoundTrips(1000000, {}, {});
  ExpectRoundTrips(1000000, {999999}, {-2});
  ExpectRoundTrips(1000000, {0, 255, 256, 511, 766, 1022, 999999}, {1, 2, 3, 4, 5, 6, 7});
  for (uint32_t count : {255u, 256u, 257u, 1023u, 1024u, 1025u, 2048u, 2049u}) {
    std::vector<uint32_t> indices(count);
    for (uint32_t i = 0; i < count; ++i) indices[i] = 3 * i + 2;
    ExpectRoundTrips(3 * count, indices, RandomValues(count, false, count));
  }
}

TEST(UpdateCodecTest, LongestBucket) {
  const std::vector<uint32_t> indices = {7, kMaxBucketLength - 1};
  for (IndexEncoding encoding : kSparseIndexEncodings) {
    std::vector<float> values = {1, 2};
    std::string bytes;
    EncodeSparse(indices, absl::MakeSpan(values), kMaxBucketLength, encoding, ValueEncoding::kFp32, &bytes);
    const absl::StatusOr<DecodedUpdate> decoded = DecodeUpdate(bytes, kMaxBucketLength);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->indices, indices);
  }
}

TEST(UpdateCodecTest, BytesAreTheSameOnEverySimdTarget) {
  const std::vector<uint32_t> indices = RandomIndices(300000, 0.02, true, 5);
  for (bool wild : {false, true}) {
    const std::vector<float> values = RandomValues(indices.size(), wild, 6);
    for (IndexEncoding index_encoding : kSparseIndexEncodings) {
      for (ValueEncoding value_encoding : kAllValueEncodings) {
        SCOPED_TRACE(absl::StrCat(Name(index_encoding), " ", Name(value_encoding)));
        std::string first_bytes;
        std::vector<float> first_target;
        ForEachSimdTarget([&] {
          std::vector<float> sent = values;
          std::string bytes;
          EncodeSparse(indices, absl::MakeSpan(sent), 300000, index_encoding, value_encoding, &bytes);
          std::vector<float> target(300000);
          ASSERT_TRUE(AddUpdate(bytes, absl::MakeSpan(target)).ok());
          if (first_target.empty()) {
            first_bytes = bytes;
            first_target = target;
          }
          EXPECT_TRUE(bytes == first_bytes);
          EXPECT_TRUE(SameBits(target, first_target));
        });
      }
    }
  }
}

// The formats are wire contracts: these bytes must decode for ever.
TEST(UpdateCodecTest, KnownBytes) {
  std::vector<float> values = {1, -2, 0.5f};
  std::string bytes;
  EncodeSparse({2, 258, 259}, absl::MakeSpan(values), 1000, IndexEncoding::kGap8, ValueEncoding::kFp16, &bytes);
  EXPECT_EQ(bytes, std::string("\x01\x01\x01\x00"          // version, gap8, fp16
                               "\xe8\x03\x00\x00"          // length
                               "\x03\x00\x00\x00"          // count
                               "\x04\x00\x00\x00"          // index bytes
                               "\x06\x00\x00\x00"          // value bytes
                               "\x02\xff\x00\x00"          // gaps 2, 255, 0
                               "\x00\x3c\x00\xc0\x00\x38"  // values
                               ,
                               30));
  values = {1, -2, 0.5f};
  EncodeSparse({2, 258, 259}, absl::MakeSpan(values), 1000, IndexEncoding::kRice, ValueEncoding::kTernary, &bytes);
  // Span 260 for 3: k = 6; lows 2, 63, 0; highs 0, 3, 0. Mean 3.5 / 3, signs 0, 1, 0.
  EXPECT_EQ(bytes.substr(0, 4), std::string("\x01\x02\x06\x06", 4));
  EXPECT_EQ(bytes.substr(20), std::string("\xc2\x0f\x00\x31\x55\x55\x95\x3f\x02", 9));
}

TEST(UpdateCodecTest, EncodeAllTakesTheSmallerWay) {
  constexpr uint32_t kLength = 10000;
  for (ValueEncoding encoding : kAllValueEncodings) {
    for (double density : {0.0, 0.01, 0.3, 0.7, 0.9, 1.0}) {
      SCOPED_TRACE(absl::StrCat(Name(encoding), " ", density));
      std::vector<float> values(kLength);
      const std::vector<uint32_t> indices = RandomIndices(kLength, density, false, 3);
      const std::vector<float> random = RandomValues(indices.size(), false, 4);
      for (size_t i = 0; i < indices.size() && density > 0; ++i) values[indices[i]] = random[i];
      std::vector<float> dense_values = values;
      std::string dense, bytes;
      EncodeDense(absl::MakeSpan(dense_values), encoding, &dense);
      EncodeAll(absl::MakeSpan(values), encoding, &bytes);
      EXPECT_LE(bytes.size(), dense.size());
      const bool by_itself = encoding == ValueEncoding::kFp32 || encoding == ValueEncoding::kFp16;
      if (by_itself && density <= 0.01) {
        EXPECT_LT(bytes.size(), dense.size() / 10);
      }
      std::vector<float> decoded(kLength);
      ASSERT_TRUE(AddUpdate(bytes, absl::MakeSpan(decoded)).ok());
      EXPECT_EQ(decoded, values);
      EXPECT_EQ(values, dense_values);
    }
  }
}

}  // namespace
}  // namespace cddp
