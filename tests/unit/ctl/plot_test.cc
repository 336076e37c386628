#include "deploy/ctl/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "deploy/ctl/svg.h"
#include "tests/unit/ctl/samples.h"

namespace cddp::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// Every tag is closed in its order, and there is one element outside all others.
bool IsWellFormed(const std::string& xml) {
  std::vector<std::string> open;
  int roots = 0;
  for (size_t at = 0; (at = xml.find('<', at)) != std::string::npos;) {
    const size_t end = xml.find('>', at);
    if (end == std::string::npos || xml.find('<', at + 1) < end) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    at = end;
    if (tag.front() == '?') continue;
    if (Count(tag, "\"") % 2 != 0) return false;
    const std::string name = tag.substr(0, tag.find(' '));
    if (tag.front() == '/') {
      if (open.empty() || "/" + open.back() != tag) return false;
      open.pop_back();
    } else {
      roots += open.empty();
      if (tag.back() != '/') open.push_back(name);
    }
  }
  return open.empty() && roots == 1;
}

TEST(PlotTest, HasAMarkForEveryEpochAndPhase) {
  const std::string svg = PlotSvg(SampleOptions(4), SampleHistory(4));
  EXPECT_TRUE(IsWellFormed(svg));
  EXPECT_EQ(Count(svg, "<polyline"), 2);    // accuracy and loss
  EXPECT_EQ(Count(svg, "<circle"), 2 * 4);  // their points
  // Background, 6 legend marks, 4 phases of 4 epochs, 3 bars of bytes.
  EXPECT_EQ(Count(svg, "<rect"), 1 + 6 + 4 * 4 + 3);
  for (const char* text : {"test accuracy", "train loss", "compute", "compress", "exchange", "pushed", "pulled",
                           "dense, each way", ">epoch<", "20.0 kB, 1.00 % of dense", "2.00 MB"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(PlotTest, OneEpochIsAPointAndHundredAreNotCrowded) {
  const std::string one = PlotSvg(SampleOptions(1), SampleHistory(1));
  EXPECT_TRUE(IsWellFormed(one));
  EXPECT_EQ(Count(one, "<polyline"), 0);
  EXPECT_EQ(Count(one, "<circle"), 2);
  const std::string hundred = PlotSvg(SampleOptions(100), SampleHistory(100));
  EXPECT_TRUE(IsWellFormed(hundred));
  EXPECT_THAT(hundred, HasSubstr(">100<"));
  EXPECT_THAT(hundred, Not(HasSubstr(">99<")));
}

TEST(PlotTest, DrawsWhatThereIs) {
  EXPECT_TRUE(IsWellFormed(PlotSvg(SampleOptions(3), TrainHistory(2))));
  TrainHistory history(1);
  EpochEvent epoch = SampleEpoch(0, 1);
  epoch.train_loss = epoch.test_loss = epoch.test_accuracy = NAN;
  epoch.steps = 0;
  ASSERT_TRUE(history.Add(epoch).ok());
  const std::string svg = PlotSvg(SampleOptions(3), history);
  EXPECT_TRUE(IsWellFormed(svg));
  EXPECT_EQ(Count(svg, "<circle"), 0);
  EXPECT_THAT(svg, Not(HasSubstr("\"nan\"")));
}

TEST(PlotTest, DrawsTheValidationLossOfAModelWithoutAnAccuracy) {
  TrainHistory history(1);
  for (int epoch : {1, 2}) {
    EpochEvent event = SampleEpoch(0, epoch);
    event.test_loss = 3.0 / epoch;
    event.test_accuracy = NAN;
    ASSERT_TRUE(history.Add(event).ok());
  }
  const std::string svg = PlotSvg(SampleOptions(2), history);
  EXPECT_TRUE(IsWellFormed(svg));
  EXPECT_EQ(Count(svg, "<polyline"), 2);
  EXPECT_THAT(svg, HasSubstr("validation loss, nats"));
  EXPECT_THAT(svg, HasSubstr("validation loss 1.5000"));
  EXPECT_THAT(svg, Not(HasSubstr("accuracy")));
}

TEST(SvgTest, EscapesTexts) {
  EXPECT_EQ(EscapeXml("a<b> & \"c\" 'd'\n"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;?");
  Svg svg(10, 10, "<&>");
  svg.Text(1, 1, "</text><script>", {});
  EXPECT_TRUE(IsWellFormed(svg.Finish()));
  EXPECT_THAT(svg.Finish(), Not(HasSubstr("<script>")));
}

}  // namespace
}  // namespace cddp::ctl
