#include "common/config/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

ABSL_FLAG(int, test_number, 1, "a number");
ABSL_FLAG(bool, test_switch, false, "a switch");
ABSL_FLAG(absl::Duration, test_duration, absl::Seconds(1), "a duration");
ABSL_FLAG(std::string, test_text, "", "a text");

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class CommandLineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::SetFlag(&FLAGS_test_number, 1);
    absl::SetFlag(&FLAGS_test_switch, false);
    absl::SetFlag(&FLAGS_test_text, "");
  }
};

TEST_F(CommandLineTest, ReadsEveryForm) {
  const auto positional =
      ParseCommandLine({"train", "--test_number=7", "--test_switch", "--test_text", "a b", "x", "--", "--y"});
  ASSERT_TRUE(positional.ok()) << positional.status();
  EXPECT_THAT(*positional, ElementsAre("train", "x", "--y"));
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 7);
  EXPECT_TRUE(absl::GetFlag(FLAGS_test_switch));
  EXPECT_EQ(absl::GetFlag(FLAGS_test_text), "a b");
  ASSERT_TRUE(ParseCommandLine({"--notest_switch"}).ok());
  EXPECT_FALSE(absl::GetFlag(FLAGS_test_switch));
}

TEST_F(CommandLineTest, ADurationMayBeANumberOfSeconds) {
  for (const auto& [text, duration] :
       {std::pair{"5", absl::Seconds(5)}, std::pair{"5s", absl::Seconds(5)}, std::pair{"0.25", absl::Milliseconds(250)},
        std::pair{"1h30m", absl::Minutes(90)}, std::pair{"0", absl::ZeroDuration()}}) {
    ASSERT_TRUE(ParseCommandLine({absl::StrCat("--test_duration=", text)}).ok()) << text;
    EXPECT_EQ(absl::GetFlag(FLAGS_test_duration), duration) << text;
  }
  for (const auto& [text, why] :
       {std::pair{"5 minutes", "no duration"}, std::pair{"", "no duration"}, std::pair{"-5s", "less than nothing"},
        std::pair{"-5", "less than nothing"}, std::pair{"inf", "longer than a year"}, std::pair{"nan", ""}}) {
    const absl::Status status = ParseCommandLine({absl::StrCat("--test_duration=", text)}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(status.message(), HasSubstr(absl::StrCat("--test_duration=", text))) << text;
    EXPECT_THAT(status.message(), HasSubstr(why)) << text;
  }
}

TEST_F(CommandLineTest, ReadsAFlagFile) {
  const std::string path = ::testing::TempDir() + "/flags";
  std::ofstream(path) << "# comment\n\n--test_number=9\n  --test_switch\n";
  ASSERT_TRUE(ParseCommandLine({"--flagfile=" + path}).ok());
  EXPECT_EQ(absl::GetFlag(FLAGS_test_number), 9);
  EXPECT_TRUE(absl::GetFlag(FLAGS_test_switch));
  std::ofstream(path) << "--flagfile=" << path << "\n";
  EXPECT_THAT(ParseCommandLine({"--flagfile=" + path}).status().message(), HasSubstr("include each other"));
}

TEST_F(CommandLineTest, NamesWhatIsWrong) {
  EXPECT_THAT(ParseCommandLine({"--nonsense=1"}).status().message(), HasSubstr("unknown flag --nonsense"));
  EXPECT_THAT(ParseCommandLine({"--test_number=many"}).status().message(), HasSubstr("--test_number=many"));
  EXPECT_THAT(ParseCommandLine({"--test_number"}).status().message(), HasSubstr("needs a value"));
  EXPECT_THAT(ParseCommandLine({"--notest_number"}).status().message(), HasSubstr("unknown flag --notest_number"));
  EXPECT_THAT(ParseCommandLine({"--flagfile=/no/such/file"}).status().message(), HasSubstr("/no/such/file"));
}

TEST_F(CommandLineTest, BadInputExitsWithTwoAndOneLine) {
  char program[] = "program";
  char flag[] = "--nonsense";
  char* argv[] = {program, flag};
  EXPECT_EXIT(ParseCommandLineOrExit(2, argv), ::testing::ExitedWithCode(kExitBadInput), "unknown flag --nonsense");
}

TEST_F(CommandLineTest, DescribesOnlyTheFilesAskedFor) {
  EXPECT_THAT(DescribeFlags({{"command_line_test.cc"}}), HasSubstr("--test_number (default 1)\n      a number"));
  EXPECT_EQ(DescribeFlags({{"no_such_file.cc"}}), "");
}

TEST_F(CommandLineTest, SuggestsTheNameThatWasMeant) {
  for (const char* meant : {"--test_nubmer=1", "--test-number=1", "--Test_Number=1", "--test_num=1"}) {
    EXPECT_THAT(ParseCommandLine({meant}).status().message(), HasSubstr("did you mean --test_number?")) << meant;
  }
  EXPECT_THAT(ParseCommandLine({"--no_test_switch"}).status().message(), HasSubstr("did you mean --notest_switch?"));
  EXPECT_THAT(ParseCommandLine({"--banana"}).status().message(), Not(HasSubstr("mean")));
}

TEST_F(CommandLineTest, FlagsOutsideTheScopeAreUnknownWhateverTheirValue) {
  const FlagScope none = {{"no_such_file.cc"}};
  EXPECT_THAT(ParseCommandLine({"--test_number=1"}, &none).status().message(), HasSubstr("unknown flag --test_number"));
  const FlagScope one = {{"no_such_file.cc"}, {"test_number"}};
  EXPECT_TRUE(ParseCommandLine({"--test_number=1"}, &one).ok());
  EXPECT_THAT(ParseCommandLine({"--notest_switch"}, &one).status().message(), HasSubstr("unknown flag"));
}

TEST_F(CommandLineTest, WordsWithoutEffectAreRefused) {
  const auto refuse = [](const std::vector<std::string>& args) { return RefuseWords(args, *ParseCommandLine(args)); };
  EXPECT_TRUE(refuse({"--test_switch", "--test_text", "word"}).ok());
  EXPECT_THAT(refuse({"--test_switch", "false"}).message(), HasSubstr("did you mean --test_switch=false?"));
  EXPECT_THAT(refuse({"word"}).message(), HasSubstr("'word' is not a flag"));
  EXPECT_THAT(refuse({"--", "--test_number=3"}).message(), HasSubstr("'--test_number=3' is not a flag"));
  EXPECT_FALSE(refuse({"-"}).ok());
  EXPECT_FALSE(refuse({""}).ok());
}

}  // namespace
}  // namespace cddp
