#include "deploy/ctl/passed_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cddp::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

bool IsOwn(absl::string_view name) { return name == "lr" || name == "seed" || name == "workers"; }

TEST(PassedFlagsTest, GoToWhoeverHasThem) {
  EXPECT_THAT(PassFlagsOn({"--lr=1", "--beta2=0.95", "--clip_norm", "2", "--small_tensor_elements=5"}, IsOwn),
              ElementsAre("--lr=1", "--server_flags=--small_tensor_elements=5",
                          "--worker_flags=--clip_norm=2 --small_tensor_elements=5", "--optimizer_flags=--beta2=0.95"));
}

TEST(PassedFlagsTest, FollowThoseThatAreGivenAsWords) {
  EXPECT_THAT(PassFlagsOn({"--worker_flags=--trace=x", "--clip_norm=2", "--seed=1"}, IsOwn),
              ElementsAre("--worker_flags=--trace=x --clip_norm=2", "--seed=1"));
}

TEST(PassedFlagsTest, WhatIsNoSettingOfAResultStays) {
  for (const char* arg : {"--listen=x", "--rank=1", "--shards=2", "--nonsense", "data_crc32c=1", "--clip_norm"}) {
    EXPECT_THAT(PassFlagsOn({arg}, IsOwn), ElementsAre(arg));
  }
}

TEST(PassedFlagsTest, AreNamed) {
  const std::string names = PassedFlagNames(IsOwn);
  EXPECT_THAT(names, HasSubstr("--beta1 --beta2 "));
  EXPECT_THAT(names, HasSubstr("--clip_norm"));
  EXPECT_THAT(names, Not(HasSubstr("--lr ")));
  EXPECT_THAT(names, Not(HasSubstr("--rank ")));
}

}  // namespace
}  // namespace cddp::ctl
