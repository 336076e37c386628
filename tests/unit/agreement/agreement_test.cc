#include "common/agreement/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cddp {
namespace {

using ::testing::HasSubstr;

TEST(DifferencesTest, ComparesByNameNotByPlace) {
  EXPECT_TRUE(Differences("--a=1 --b=2", "--b=2 --a=1").empty());
  const auto differences = Differences("--a=1 --b=2 --c=3", "--c=3 --b=4 --d=5");
  ASSERT_EQ(differences.size(), 3u);
  EXPECT_EQ(differences[0].first, "--a=1");
  EXPECT_EQ(differences[0].second, "no --a");
  EXPECT_EQ(differences[1].name, "--b");
  EXPECT_EQ(differences[1].second, "--b=4");
  EXPECT_EQ(differences[2].first, "no --d");
  EXPECT_EQ(differences[2].second, "--d=5");
}

TEST(DifferencesTest, ANameIsWhole) {
  EXPECT_EQ(Differences("--lr=1 --lr_schedule=step", "--lr_schedule=step").size(), 1u);
  EXPECT_TRUE(Differences("", "").empty());
}

TEST(ValueOfTest, BelongsToTheWholeName) {
  EXPECT_EQ(ValueOf("--lr_schedule=step --lr=1 --name=a=b", "--lr"), "1");
  EXPECT_EQ(ValueOf("--lr_schedule=step --lr=1 --name=a=b", "--name"), "a=b");
  EXPECT_EQ(ValueOf("--a --b=", "--a"), "");
  EXPECT_EQ(ValueOf("--a --b=", "--b"), "");
  EXPECT_FALSE(ValueOf("--a=1", "--b").has_value());
  EXPECT_FALSE(ValueOf("", "--b").has_value());
}

TEST(DescribeFileDifferenceTest, TellsTheFirst) {
  EXPECT_EQ(DescribeFileDifference("--a=1 --b=2", "--a=1 --b=2", "server"), "");
  EXPECT_EQ(DescribeFileDifference("--a=1 --b=2 --c=3", "--a=1 --b=4 --c=5", "server"),
            "was written with --b=2, but this server has --b=4");
  EXPECT_EQ(DescribeFileDifference("--a=1", "--a=1 --b=2", "worker"),
            "was written with no --b, but this worker has --b=2");
  EXPECT_EQ(DescribeFileDifference("--a=1 --b=2", "--a=1", "worker"),
            "was written with --b=2, but this worker has no --b");
}

TEST(CheckServersAgreeTest, NamesBothServersAndBothValues) {
  EXPECT_TRUE(CheckServersAgree("B:1", "--lr=0.1", "A:1", "--lr=0.1").ok());
  const absl::Status status = CheckServersAgree("B:1", "--lr=0.2", "A:1", "--lr=0.1");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("server B:1 has --lr=0.2, but server A:1 has --lr=0.1"));
}

TEST(WorkersAgreementTest, TheFirstDecides) {
  WorkersAgreement agreement;
  EXPECT_TRUE(agreement.Check(2, "--seed=1 --local_steps=1", false).ok());
  EXPECT_TRUE(agreement.Adopt(2, "--seed=1 --local_steps=1"));
  EXPECT_TRUE(agreement.Check(0, "--seed=1 --local_steps=1", false).ok());
  EXPECT_FALSE(agreement.Adopt(0, "--seed=1 --local_steps=1")) << "nothing new";
  EXPECT_EQ(agreement.rank(), 2u);

  const absl::Status status = agreement.Check(3, "--seed=1 --local_steps=4", false);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("worker 3 has --local_steps=4, but this training was begun with --local_steps=1 (worker 2)"));
  EXPECT_THAT(std::string(agreement.Check(3, "--seed=1", false).message()), HasSubstr("has no --local_steps"));
  EXPECT_FALSE(agreement.Check(3, "--seed=1 --local_steps=4", true).ok()) << "not even if it is alone";
}

TEST(WorkersAgreementTest, ARunMayBeMadeLongerByAWorkerThatIsAlone) {
  WorkersAgreement agreement;
  agreement.Adopt(0, "--seed=1 --epochs=5");
  EXPECT_THAT(std::string(agreement.Check(1, "--seed=1 --epochs=9", /*alone=*/false).message()),
              HasSubstr("worker 1 has --epochs=9, but this training was begun with --epochs=5 (worker 0)"));
  EXPECT_TRUE(agreement.Check(1, "--seed=1 --epochs=9", /*alone=*/true).ok());
  EXPECT_FALSE(agreement.Check(1, "--seed=2 --epochs=9", /*alone=*/true).ok());
  EXPECT_TRUE(agreement.Adopt(1, "--seed=1 --epochs=9"));
  EXPECT_FALSE(agreement.Check(0, "--seed=1 --epochs=5", /*alone=*/false).ok());
}

TEST(WorkersAgreementTest, WithoutSettingsIsAnAgreementToo) {
  WorkersAgreement agreement;
  agreement.Adopt(0, "");
  EXPECT_TRUE(agreement.Check(1, "", false).ok());
  EXPECT_FALSE(agreement.Check(1, "--seed=1", false).ok());
}

}  // namespace
}  // namespace cddp
