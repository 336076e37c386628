#include "deploy/ctl/split_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cddp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SplitWordsTest, AsAShell) {
  EXPECT_THAT(*SplitWords(""), IsEmpty());
  EXPECT_THAT(*SplitWords("  --a=1\t--b "), ElementsAre("--a=1", "--b"));
  EXPECT_THAT(*SplitWords(R"(--a='x y' "--b=it's" --c=\ z '')"), ElementsAre("--a=x y", "--b=it's", "--c= z", ""));
  EXPECT_THAT(*SplitWords(R"('a\b' "a\"b")"), ElementsAre("a\\b", "a\"b"));
}

TEST(SplitWordsTest, AnOpenQuoteIsAnError) {
  EXPECT_FALSE(SplitWords("--a='x").ok());
  EXPECT_FALSE(SplitWords("--a=\"x'").ok());
}

}  // namespace
}  // namespace cddp::ctl
