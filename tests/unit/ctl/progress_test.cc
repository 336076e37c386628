#include "deploy/ctl/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "tests/support/temp_folder.h"

namespace cddp::ctl {
namespace {

using ::testing::HasSubstr;

TEST(ProgressTest, PartsThatDoNotFitAreLeftOut) {
  EXPECT_EQ(FitParts({"epoch 1/5", "loss 0.1", "more"}, 80), "epoch 1/5  loss 0.1  more");
  EXPECT_EQ(FitParts({"epoch 1/5", "loss 0.1", "more"}, 24), "epoch 1/5  loss 0.1");
  EXPECT_EQ(FitParts({"epoch 1/5", "loss 0.1"}, 5), "epoch");
  EXPECT_EQ(FitParts({}, 5), "");
}

TEST(ProgressTest, AFileHoldsOnlyPermanentLines) {
  TempFolder folder;
  std::FILE* file = std::fopen(folder.File("out").c_str(), "w");
  {
    Progress progress(file);
    EXPECT_FALSE(progress.terminal());
    progress.Print("begin");
    progress.Redraw({"step 1"});
    progress.Clear();
    progress.Print("end");
  }
  std::fclose(file);
  EXPECT_EQ(ReadFile(folder.File("out")), "begin\nend\n");
}

TEST(ProgressTest, ATerminalSeesTheRedrawnLineGoBeforeTheNextPermanentOne) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  const winsize size = {25, 20, 0, 0};
  ioctl(terminal, TIOCSWINSZ, &size);
  setenv("TERM", "xterm", 1);
  std::FILE* out = fdopen(open(ptsname(terminal), O_RDWR | O_NOCTTY), "w");
  {
    Progress progress(out);
    EXPECT_TRUE(progress.terminal());
    progress.Redraw({"epoch 1/5", "step 3/9", "and more than fits"});
    progress.Print("permanent");
  }
  std::string seen;
  char piece[200];
  while (!absl::EndsWith(seen, "\n")) {  // a terminal hands over what it has, not what was written
    const ssize_t got = read(terminal, piece, sizeof piece);
    ASSERT_GT(got, 0);
    seen.append(piece, static_cast<size_t>(got));
  }
  EXPECT_EQ(seen, "\r\x1b[Kepoch 1/5  step 3/9\r\x1b[Kpermanent\r\n");
  std::fclose(out);
  close(terminal);
}

}  // namespace
}  // namespace cddp::ctl
