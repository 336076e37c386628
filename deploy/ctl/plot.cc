#include "deploy/ctl/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "deploy/ctl/axis.h"
#include "deploy/ctl/format.h"
#include "deploy/ctl/svg.h"
#include "deploy/ctl/train_text.h"

namespace cddp::ctl {
namespace {

constexpr int kWidth = 1200;
constexpr int kHeight = 560;

constexpr char kInk[] = "#0f172a";
constexpr char kText[] = "#475569";
constexpr char kGrid[] = "#e2e8f0";
constexpr char kFrame[] = "#94a3b8";
constexpr char kAccuracy[] = "#1d4ed8";
constexpr char kLoss[] = "#c2410c";
constexpr char kCompute[] = "#64748b";
constexpr char kCompress[] = "#f59e0b";
constexpr char kExchange[] = "#0d9488";
constexpr char kOther[] = "#cbd5e1";
constexpr char kPushed[] = "#7c3aed";
constexpr char kPulled[] = "#db2777";
constexpr char kDense[] = "#cbd5e1";

// The inside of a chart, in pixels.
struct Area {
  double left, top, right, bottom;
  double width() const { return right - left; }
};

struct LegendEntry {
  const char* text;
  const char* color;
};

void Heading(Svg* svg, const Area& area, absl::string_view text) {
  svg->Text(area.left, area.top - 18, text, {.size = 14, .color = kInk, .bold = true});
}

// Right-aligned on the heading's line.
void Legend(Svg* svg, const Area& area, const std::vector<LegendEntry>& entries) {
  double x = area.right;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    x -= 6.8 * static_cast<double>(absl::string_view(entry->text).size());
    svg->Text(x, area.top - 18, entry->text, {.size = 12, .color = kText});
    x -= 16;
    svg->Rect(x, area.top - 28, 11, 11, entry->color, 2);
    x -= 13;
  }
}

// Each epoch is in the middle of an equal slot, so that one epoch looks as good as a hundred.
double EpochPlace(const Area& area, int epoch, int epochs) { return area.left + (epoch - 0.5) / epochs * area.width(); }

// Grid lines with the labels of the axis to their left, and the epochs below.
void Frame(Svg* svg, const Area& area, const Axis& axis, const char* label_color, int epochs) {
  for (int i = 0; i <= Axis::kIntervals; ++i) {
    const double y = axis.Place(axis.tick(i), area.bottom, area.top);
    svg->Line(area.left, y, area.right, y, i == 0 ? kFrame : kGrid);
    svg->Text(area.left - 10, y + 4, axis.Label(i), {.color = label_color, .anchor = Svg::Anchor::kEnd});
  }
  const int stride = (epochs + 9) / 10;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    if (epoch != 1 && epoch % stride != 0) continue;
    const double x = EpochPlace(area, epoch, epochs);
    svg->Line(x, area.bottom, x, area.bottom + 4, kFrame);
    svg->Text(x, area.bottom + 19, absl::StrCat(epoch), {.color = kText, .anchor = Svg::Anchor::kMiddle});
  }
  svg->Text((area.left + area.right) / 2, area.bottom + 38, "epoch", {.color = kText, .anchor = Svg::Anchor::kMiddle});
}

void Curve(Svg* svg, const std::vector<std::pair<double, double>>& points, const char* color) {
  if (points.size() > 1) svg->Polyline(points, color, 2.5);
  const double radius = points.size() > 40 ? 2 : 4;
  for (const auto& [x, y] : points) svg->Circle(x, y, radius, color);
}

void LearningChart(Svg* svg, const Area& area, const TrainOptions& options, const TrainHistory& history) {
  double lowest = 100, highest = 0, largest_loss = 0, largest_test_loss = 0;
  for (const EpochSummary& epoch : history.epochs()) {
    if (!std::isnan(epoch.test_accuracy)) {
      lowest = std::min(lowest, 100 * epoch.test_accuracy);
      highest = std::max(highest, 100 * epoch.test_accuracy);
    }
    if (std::isfinite(epoch.train_loss)) largest_loss = std::max(largest_loss, epoch.train_loss);
    if (std::isfinite(epoch.test_loss)) largest_test_loss = std::max(largest_test_loss, epoch.test_loss);
  }
  const bool shows_loss = lowest > highest && largest_test_loss > 0;  // the model has no accuracy
  if (lowest > highest) lowest = 0, highest = 100;                    // nothing was evaluated
  const Axis test_axis = shows_loss ? Axis::FromZero(largest_test_loss)
                                    : Axis::Percent(std::min(lowest, std::max(0.0, highest - 1)), highest);
  const char* const measure = shows_loss ? "validation loss" : "test accuracy";
  const Axis loss_axis = Axis::FromZero(largest_loss);

  Heading(svg, area, "Learning");
  Legend(svg, area, {{measure, kAccuracy}, {"train loss", kLoss}});
  Frame(svg, area, test_axis, kAccuracy, options.epochs);
  for (int i = 0; i <= Axis::kIntervals; ++i) {
    const double y = loss_axis.Place(loss_axis.tick(i), area.bottom, area.top);
    svg->Text(area.right + 10, y + 4, loss_axis.Label(i), {.color = kLoss});
  }
  const double middle = (area.top + area.bottom) / 2;
  svg->Text(area.left - 52, middle, absl::StrCat(measure, shows_loss ? ", nats" : ", %"),
            {.color = kAccuracy, .anchor = Svg::Anchor::kMiddle, .rotate = -90});
  svg->Text(area.right + 54, middle, "train loss", {.color = kLoss, .anchor = Svg::Anchor::kMiddle, .rotate = 90});

  std::vector<std::pair<double, double>> tests, losses;
  for (const EpochSummary& epoch : history.epochs()) {
    const double x = EpochPlace(area, epoch.epoch, options.epochs);
    const double tested = shows_loss ? epoch.test_loss : 100 * epoch.test_accuracy;
    if (std::isfinite(tested)) {
      tests.emplace_back(x, test_axis.Place(tested, area.bottom, area.top));
    }
    if (std::isfinite(epoch.train_loss)) {
      losses.emplace_back(x, loss_axis.Place(epoch.train_loss, area.bottom, area.top));
    }
  }
  Curve(svg, losses, kLoss);
  Curve(svg, tests, kAccuracy);
}

void StepChart(Svg* svg, const Area& area, const TrainOptions& options, const TrainHistory& history) {
  double longest = 0;
  for (const EpochSummary& epoch : history.epochs()) longest = std::max(longest, 1e3 * epoch.SecondsPerStep().step);
  const Axis axis = Axis::FromZero(longest);
  Heading(svg, area, "Time of a step");
  Legend(svg, area, {{"compute", kCompute}, {"compress", kCompress}, {"exchange", kExchange}, {"other", kOther}});
  Frame(svg, area, axis, kText, options.epochs);
  svg->Text(area.left - 52, (area.top + area.bottom) / 2, "ms",
            {.color = kText, .anchor = Svg::Anchor::kMiddle, .rotate = -90});

  const double width = std::min(44.0, 0.66 * area.width() / options.epochs);
  for (const EpochSummary& epoch : history.epochs()) {
    const PhaseSeconds step = epoch.SecondsPerStep();
    const double other = std::max(0.0, step.step - step.compute - step.compress - step.exchange);
    const double x = EpochPlace(area, epoch.epoch, options.epochs) - width / 2;
    double y = area.bottom;
    for (const auto& [seconds, color] : {std::pair{step.compute, kCompute}, std::pair{step.compress, kCompress},
                                         std::pair{step.exchange, kExchange}, std::pair{other, kOther}}) {
      const double top = y - (area.bottom - axis.Place(1e3 * seconds, area.bottom, area.top));
      svg->Rect(x, top, width, y - top, color);
      y = top;
    }
  }
}

void BytesChart(Svg* svg, const Area& area, const TrainOptions& options, const TrainHistory& history) {
  Heading(svg, area, options.workers == 1 ? "Bytes of a step" : "Bytes of a step, all workers");
  const Traffic traffic = history.TotalTraffic();
  const double steps = std::max<double>(1, history.TotalSteps());
  const double scale = std::max({traffic.pushed_bytes, traffic.pulled_bytes, traffic.dense_bytes, uint64_t{1}});
  struct Bar {
    const char* name;
    uint64_t bytes;
    const char* color;
  };
  // Room for the longest label at the right of the longest bar.
  const double full = area.width() - 90;
  double y = area.top;
  for (const Bar& bar : {Bar{"pushed", traffic.pushed_bytes, kPushed}, Bar{"pulled", traffic.pulled_bytes, kPulled},
                         Bar{"dense, each way", traffic.dense_bytes, kDense}}) {
    svg->Text(area.left - 10, y + 15, bar.name, {.color = kText, .anchor = Svg::Anchor::kEnd});
    const double length = std::max(1.0, full * static_cast<double>(bar.bytes) / scale);
    svg->Rect(area.left, y, length, 20, bar.color, std::min(2.0, length / 2));
    std::string label = FormatBytes(static_cast<double>(bar.bytes) / steps);
    if (bar.color != kDense && traffic.dense_bytes > 0 && length < full / 2) {
      absl::StrAppend(&label, ", ", FormatPercent(static_cast<double>(bar.bytes) / traffic.dense_bytes), " of dense");
    }
    svg->Text(area.left + length + 8, y + 15, label, {.color = kInk});
    y += 30;
  }
}

std::string Subtitle(const TrainHistory& history) {
  if (history.epochs().empty()) return "no epoch is complete";
  const EpochSummary& last = history.epochs().back();
  const Traffic traffic = history.TotalTraffic();
  std::string text = absl::StrCat("after epoch ", last.epoch, ": ");
  if (!std::isnan(last.test_accuracy)) absl::StrAppend(&text, FormatPercent(last.test_accuracy), " test accuracy, ");
  if (std::isnan(last.test_accuracy) && std::isfinite(last.test_loss)) {
    absl::StrAppend(&text, absl::StrFormat("validation loss %.4f, ", last.test_loss));
  }
  absl::StrAppend(&text, absl::StrFormat("train loss %.4f, ", last.train_loss),
                  FormatElapsed(absl::Seconds(history.SecondsPerStep().step)), " a step");
  if (traffic.both_saved() > 0.01) {
    absl::StrAppend(&text, ", ", FormatPercent(traffic.push_saved()), " of pushed and ",
                    FormatPercent(traffic.both_saved()), " of all bytes saved");
  }
  return text;
}

}  // namespace

std::string PlotSvg(const TrainOptions& options, const TrainHistory& history) {
  const std::string title = DescribeJob(options);
  Svg svg(kWidth, kHeight, title);
  svg.Text(30, 40, title, {.size = 18, .color = kInk, .bold = true});
  svg.Text(30, 64, Subtitle(history), {.size = 13, .color = kText});
  LearningChart(&svg, {90, 130, 540, 490}, options, history);
  StepChart(&svg, {730, 130, 1160, 320}, options, history);
  BytesChart(&svg, {730, 424, 1160, 514}, options, history);
  return svg.Finish();
}

}  // namespace cddp::ctl
