#include "common/bytes/shared_bytes.h"

#include <gtest/gtest.h>

namespace cddp {
namespace {

TEST(SharedBytesTest, OwnKeepsTheStringsMemory) {
  std::string text(1000, 'a');
  const char* const memory = text.data();
  const SharedBytes bytes = SharedBytes::Own(std::move(text));
  EXPECT_EQ(bytes.data(), memory);
  EXPECT_EQ(bytes.size(), 1000u);
}

TEST(SharedBytesTest, AStringThatLiesInItselfIsOwnedToo) {
  SharedBytes bytes = SharedBytes::Own("short");
  const SharedBytes copy = bytes;
  EXPECT_EQ(copy.data(), bytes.data());
  bytes = {};
  EXPECT_EQ(copy.view(), "short");
}

TEST(SharedBytesTest, APartKeepsTheWhole) {
  auto owner = std::make_shared<const std::string>("head and tail");
  const std::weak_ptr<const std::string> alive = owner;
  SharedBytes part = SharedBytes(owner, *owner).Part(9, 4);
  owner.reset();
  EXPECT_EQ(part.view(), "tail");
  EXPECT_FALSE(alive.expired());
  part = {};
  EXPECT_TRUE(alive.expired());
}

}  // namespace
}  // namespace cddp
