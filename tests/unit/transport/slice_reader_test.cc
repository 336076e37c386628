#include "common/transport/slice_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cddp {
namespace {

grpc::ByteBuffer Buffer(const std::vector<std::string>& pieces) {
  std::vector<grpc::Slice> slices(pieces.begin(), pieces.end());
  return grpc::ByteBuffer(slices.data(), slices.size());
}

TEST(SliceReaderTest, ReadsAcrossSlicesEmptyOnesIncluded) {
  const grpc::ByteBuffer buffer = Buffer({"", "\x96", "", "\x01\x0a", "\x05he", "", "llo", "tail"});
  SliceReader reader(buffer);
  EXPECT_EQ(reader.size(), 13u);
  uint64_t number = 0;
  ASSERT_TRUE(reader.ReadVarint(&number));
  EXPECT_EQ(number, 150u);
  FieldTag tag;
  ASSERT_TRUE(reader.ReadTag(&tag));
  EXPECT_TRUE(tag.Is(1, FieldTag::kLengthDelimited));
  ASSERT_TRUE(reader.ReadLength(reader.size(), &number));
  SharedBytes bytes;
  ASSERT_TRUE(reader.ReadBytes(number, 0, &bytes));
  EXPECT_EQ(bytes.view(), "hello");
  EXPECT_EQ(reader.position(), 9u);
  ASSERT_TRUE(reader.Skip(4));
  EXPECT_EQ(reader.position(), reader.size());
  EXPECT_FALSE(reader.Skip(1));
  EXPECT_FALSE(reader.ReadVarint(&number));
}

TEST(SliceReaderTest, RefersToTheSliceThatHoldsAllAndCopiesOtherwise) {
  const std::vector<grpc::Slice> slices = {grpc::Slice(std::string(100, 'a')), grpc::Slice(std::string(100, 'b'))};
  const grpc::ByteBuffer buffer(slices.data(), slices.size());
  const auto* first = reinterpret_cast<const char*>(slices[0].begin());
  const auto read = [&](size_t skip, size_t bytes, size_t least_shared) {
    SliceReader reader(buffer);
    SharedBytes value;
    EXPECT_TRUE(reader.Skip(skip) && reader.ReadBytes(bytes, least_shared, &value));
    EXPECT_EQ(value.size(), bytes);
    EXPECT_EQ(reader.position(), skip + bytes);
    return value;
  };
  EXPECT_EQ(read(10, 90, 90).data(), first + 10);
  EXPECT_NE(read(10, 90, 91).data(), first + 10) << "too small to keep the slice for it";
  EXPECT_NE(read(10, 91, 0).data(), first + 10);
  EXPECT_EQ(read(10, 91, 0).view(), std::string(90, 'a') + "b");
  EXPECT_EQ(read(100, 100, 0).data(), reinterpret_cast<const char*>(slices[1].begin()));
}

TEST(SliceReaderTest, ValuesThatAreNone) {
  uint64_t number = 0;
  FieldTag tag;
  SharedBytes bytes;
  const grpc::ByteBuffer endless = Buffer({std::string(11, '\xff')});
  EXPECT_FALSE(SliceReader(endless).ReadVarint(&number));
  EXPECT_FALSE(SliceReader(endless).ReadBytes(12, 0, &bytes));
  EXPECT_FALSE(SliceReader(endless).ReadBytes(UINT64_MAX, 0, &bytes));
  EXPECT_FALSE(SliceReader(endless).Skip(UINT64_MAX));
  EXPECT_FALSE(SliceReader(Buffer({"\x02"})).ReadTag(&tag)) << "field 0";
  EXPECT_FALSE(SliceReader(Buffer({"\xff\xff\xff\xff\x1f"})).ReadTag(&tag)) << "more than 32 bits";
  EXPECT_FALSE(SliceReader(Buffer({"\x05"})).ReadLength(5, &number)) << "ends behind its message";
  EXPECT_TRUE(SliceReader(Buffer({"\x05"})).ReadLength(6, &number));
  EXPECT_FALSE(SliceReader(Buffer({"\x0c"})).SkipValue({1, 3})) << "a group";
  EXPECT_FALSE(SliceReader(Buffer({"\x0c"})).SkipValue({1, 6}));
  EXPECT_EQ(SliceReader(grpc::ByteBuffer()).size(), 0u);
}

}  // namespace
}  // namespace cddp
