#include "common/codec/update_reader.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/codec/update_codec.h"
#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"
#include "tests/unit/codec/random_updates.h"

namespace cddp {
namespace {

// Adds `bytes` to `target` in pieces that end at random places.
void AddInPieces(const std::string& bytes, uint32_t seed, std::vector<float>* target) {
  const auto length = static_cast<uint32_t>(target->size());
  const absl::StatusOr<CheckedUpdate> update = CheckedUpdate::Check(bytes, length);
  ASSERT_TRUE(update.ok()) << update.status();
  UpdateReader reader(*update);
  std::mt19937 random(seed);
  for (uint32_t begin = 0; begin < length;) {
    const uint32_t end = std::min<uint32_t>(length, begin + random() % 3000);
    reader.AddTo(begin, 1, absl::MakeSpan(*target).subspan(begin, end - begin));
    begin = end;
  }
}

RC_GTEST_PROP(UpdateReaderProperty, PiecesAddUpToTheWhole, ()) {
  const auto length = *rc::gen::inRange<uint32_t>(1, 20000);
  const double density = *rc::gen::element(0.0005, 0.01, 0.1, 0.99, 1.0);
  const auto seed = *rc::gen::arbitrary<uint32_t>();
  const std::vector<uint32_t> indices = RandomIndices(length, density, *rc::gen::arbitrary<bool>(), seed);
  std::vector<std::string> updates;
  for (ValueEncoding value_encoding : kAllValueEncodings) {
    for (IndexEncoding index_encoding : kSparseIndexEncodings) {
      std::vector<float> values = RandomValues(indices.size(), false, seed);
      EncodeSparse(indices, absl::MakeSpan(values), length, index_encoding, value_encoding, &updates.emplace_back());
    }
    std::vector<float> values = RandomValues(length, false, seed);
    EncodeDense(absl::MakeSpan(values), value_encoding, &updates.emplace_back());
  }
  for (const std::string& bytes : updates) {
    std::vector<float> pieces(length, 0.25f), whole(length, 0.25f);
    AddInPieces(bytes, seed, &pieces);
    RC_ASSERT(!::testing::Test::HasFailure());
    RC_ASSERT(AddUpdate(bytes, absl::MakeSpan(whole)).ok());
    RC_ASSERT(std::memcmp(pieces.data(), whole.data(), length * sizeof(float)) == 0);
  }
}

TEST(UpdateReaderTest, GoesOnWhereAnotherCallStopped) {
  const std::vector<uint32_t> indices = {0, 5, 6, 9};
  std::vector<float> values = {1, 2, 3, 4};
  std::string bytes;
  EncodeSparse(indices, absl::MakeSpan(values), 10, IndexEncoding::kGap8, ValueEncoding::kFp32, &bytes);
  UpdateReader reader(*CheckedUpdate::Check(bytes, 10));
  std::vector<float> target(6);
  reader.AddTo(0, 1, absl::MakeSpan(target));
  EXPECT_EQ(target, (std::vector<float>{1, 0, 0, 0, 0, 2}));
  EXPECT_EQ(std::vector<uint32_t>(reader.indices().begin(), reader.indices().end()), (std::vector<uint32_t>{6, 9}));
  EXPECT_EQ(std::vector<float>(reader.values().begin(), reader.values().end()), (std::vector<float>{3, 4}));
  EXPECT_FALSE(reader.NextBlock());
}

TEST(CheckedUpdateTest, IsNotMadeOfBadBytes) {
  EXPECT_EQ(CheckedUpdate::Check("short", 10).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace cddp
