#include "common/transport/slices.h"

#include <gtest/gtest.h>

#include <string>

namespace cddp {
namespace {

SharedBytes LargeBytes() { return SharedBytes::Own(std::string(10'000, 'x')); }

TEST(SlicesTest, BytesBecomeASliceWithoutACopy) {
  const SharedBytes bytes = LargeBytes();
  const grpc::Slice slice = ToSlice(bytes);
  EXPECT_EQ(reinterpret_cast<const char*>(slice.begin()), bytes.data());
  EXPECT_EQ(slice.size(), bytes.size());
}

TEST(SlicesTest, TheSliceKeepsTheBytes) {
  auto owner = std::make_shared<const std::string>(10'000, 'x');
  const std::weak_ptr<const std::string> alive = owner;
  {
    const grpc::Slice slice = ToSlice(SharedBytes(owner, *owner));
    owner.reset();
    EXPECT_FALSE(alive.expired());
  }
  EXPECT_TRUE(alive.expired());
}

TEST(SlicesTest, ASliceBecomesBytesThatKeepIt) {
  SharedBytes bytes;
  const char* memory = nullptr;
  {
    const grpc::Slice slice = ToSlice(LargeBytes());
    memory = reinterpret_cast<const char*>(slice.begin());
    bytes = FromSlice(slice);
  }
  EXPECT_EQ(bytes.data(), memory);
  EXPECT_EQ(bytes.view(), std::string(10'000, 'x'));
}

TEST(SlicesTest, SmallAndEmptyOnes) {
  EXPECT_EQ(ToSlice({}).size(), 0u);
  EXPECT_EQ(FromSlice(grpc::Slice("abc")).view(), "abc");
  EXPECT_TRUE(FromSlice(grpc::Slice()).empty());
}

}  // namespace
}  // namespace cddp
