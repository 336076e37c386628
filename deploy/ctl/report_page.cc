#include "deploy/ctl/report_page.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "deploy/ctl/axis.h"
#include "deploy/ctl/format.h"
#include "deploy/ctl/svg.h"

namespace cddp::ctl {
namespace {

constexpr char kInk[] = "var(--ink)";
constexpr char kText[] = "var(--text)";
constexpr char kGrid[] = "var(--grid)";
constexpr char kFrame[] = "var(--frame)";
constexpr size_t kColors = 8;

constexpr char kStyle[] = R"(
:root { color-scheme: light dark; --page: #ffffff; --ink: #0f172a; --text: #475569; --grid: #e2e8f0; --frame: #94a3b8;
  --shade: #f8fafc; --bad: #b91c1c; --compute: #64748b; --compress: #f59e0b; --wait: #0d9488; --other: #cbd5e1;
  --c0: #1d4ed8; --c1: #c2410c; --c2: #15803d; --c3: #7c3aed; --c4: #0e7490; --c5: #be185d; --c6: #4d7c0f; --c7: #57534e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f172a; --ink: #f1f5f9; --text: #a8b5c7; --grid: #27344a; --frame: #64748b; --shade: #172136;
    --bad: #fca5a5; --compute: #94a3b8; --compress: #fbbf24; --wait: #2dd4bf; --other: #475569;
    --c0: #7aa2ff; --c1: #fb923c; --c2: #4ade80; --c3: #c4a5fd; --c4: #38d0ea; --c5: #f78bc0; --c6: #bce35a; --c7: #d6d3d1; } }
body { margin: 2rem auto; max-width: 84rem; padding: 0 1.5rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, 'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
p { color: var(--text); margin: .2rem 0; } p.bad, td.bad { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; } th, td { padding: .35rem .55rem; text-align: right; white-space: nowrap; }
th { color: var(--text); font-weight: 600; border-bottom: 1px solid var(--frame); vertical-align: bottom; }
th:first-child, td:first-child, table.settings td, table.settings th { text-align: left; }
table.settings td { white-space: normal; overflow-wrap: anywhere; }
tbody tr:nth-child(odd) { background: var(--shade); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .5rem; }
.legend { margin: .2rem 0 0; color: var(--text); font-size: .9rem; } .legend span { margin-right: 1.2rem; white-space: nowrap; }
.legend .key { margin-right: .4rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(32rem, 100%), 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; display: block; font-family: inherit; }
@media print { .charts { grid-template-columns: 1fr 1fr; } }
)";

// The inside of a chart, in pixels.
constexpr int kWidth = 560;
constexpr int kHeight = 300;
constexpr double kLeft = 62;
constexpr double kRight = 545;
constexpr double kTop = 14;
constexpr double kBottom = 250;

std::string ColorOf(size_t run) { return absl::StrCat("var(--c", run % kColors, ")"); }

std::string Key(const std::string& color) {
  return absl::StrCat("<span class=\"key\" style=\"background:", color, "\"></span>");
}

std::string Legend(const std::vector<RunRecord>& runs) {
  std::string html = "<p class=\"legend\">";
  for (size_t i = 0; i < runs.size(); ++i) {
    absl::StrAppend(&html, "<span>", Key(ColorOf(i)), EscapeXml(runs[i].name), "</span>");
  }
  return absl::StrCat(html, "</p>\n");
}

std::string Figure(absl::string_view caption, const std::string& content) {
  return absl::StrCat("<figure><figcaption>", EscapeXml(caption), "</figcaption>\n", content, "</figure>\n");
}

struct Point {
  double x = 0;
  double y = 0;
  std::string note;
};
using Series = std::vector<Point>;  // of one run, without values that are not finite

void DrawFrame(Svg* svg, const Axis& x, const Axis& y, absl::string_view x_name) {
  for (int i = 0; i <= Axis::kIntervals; ++i) {
    const double at = y.Place(y.tick(i), kBottom, kTop);
    svg->Line(kLeft, at, kRight, at, i == 0 ? kFrame : kGrid);
    svg->Text(kLeft - 8, at + 4, y.Label(i), {.color = kText, .anchor = Svg::Anchor::kEnd});
    const double place = x.Place(x.tick(i), kLeft, kRight);
    svg->Line(place, kBottom, place, kBottom + 4, kFrame);
    svg->Text(place, kBottom + 19, x.Label(i),
              {.color = kText, .anchor = i == Axis::kIntervals ? Svg::Anchor::kEnd : Svg::Anchor::kMiddle});
  }
  svg->Text((kLeft + kRight) / 2, kBottom + 40, x_name, {.color = kText, .anchor = Svg::Anchor::kMiddle});
}

// Curves over an axis from zero. For percentages the axis fits the range in which the runs differ.
std::string LineChart(const std::string& title, absl::string_view x_name, bool percent,
                      const std::vector<Series>& all) {
  double longest = 0, lowest = 100, highest = 0;
  for (const Series& series : all) {
    for (const Point& point : series) {
      if (!std::isfinite(point.y)) continue;
      longest = std::max(longest, point.x);
      lowest = std::min(lowest, point.y);
      highest = std::max(highest, point.y);
    }
  }
  const Axis x = Axis::FromZero(longest);
  const Axis y =
      percent ? Axis::Percent(std::min(lowest, std::max(0.0, highest - 1)), highest) : Axis::FromZero(highest);
  Svg svg = Svg::OfPage(kWidth, kHeight, title, "var(--page)");
  DrawFrame(&svg, x, y, x_name);
  for (size_t run = 0; run < all.size(); ++run) {
    std::vector<std::pair<double, double>> places;
    for (const Point& point : all[run]) {
      if (!std::isfinite(point.y)) continue;
      places.emplace_back(x.Place(point.x, kLeft, kRight), y.Place(point.y, kBottom, kTop));
    }
    if (places.size() > 1) svg.Polyline(places, ColorOf(run), 2.2);
    const double radius = places.size() > 40 ? 1.8 : 3.5;
    size_t i = 0;
    for (const Point& point : all[run]) {
      if (!std::isfinite(point.y)) continue;
      svg.Circle(places[i].first, places[i].second, radius, ColorOf(run), point.note);
      ++i;
    }
  }
  return Figure(title, svg.Finish());
}

// One curve per run, over its epochs. `scale`: seconds per unit of time.
std::vector<Series> Curves(const std::vector<RunRecord>& runs, double EpochRecord::*value, double factor,
                           double scale) {
  std::vector<Series> all;
  for (const RunRecord& run : runs) {
    Series series;
    for (const EpochRecord& epoch : run.epochs) {
      const double y = factor * epoch.*value;
      series.push_back({scale == 0 ? epoch.epoch : epoch.ended / scale, y,
                        absl::StrFormat("%s, epoch %d: %.4g", run.name, epoch.epoch, y)});
    }
    all.push_back(std::move(series));
  }
  return all;
}

bool Any(const std::vector<RunRecord>& runs, double EpochRecord::*value) {
  return std::any_of(runs.begin(), runs.end(), [value](const RunRecord& run) {
    return std::any_of(run.epochs.begin(), run.epochs.end(),
                       [value](const EpochRecord& epoch) { return std::isfinite(epoch.*value); });
  });
}

std::string LearningCharts(const std::vector<RunRecord>& runs) {
  double longest = 0;
  for (const RunRecord& run : runs) longest = std::max(longest, run.epochs.empty() ? 0 : run.epochs.back().ended);
  if (longest == 0) return "";
  const double scale = longest > 7200 ? 3600 : longest > 120 ? 60 : 1;
  const std::string time = absl::StrCat("training time, ", scale == 1 ? "seconds" : scale == 60 ? "minutes" : "hours");
  std::string html = absl::StrCat("<h2>Learning</h2>\n", Legend(runs), "<div class=\"charts\">\n");
  const auto pair = [&](const std::string& title, double EpochRecord::*value, bool percent) {
    if (!Any(runs, value)) return;
    const double factor = percent ? 100 : 1;
    html += LineChart(absl::StrCat(title, " over epochs"), "epoch", percent, Curves(runs, value, factor, 0));
    html += LineChart(absl::StrCat(title, " over time"), time, percent, Curves(runs, value, factor, scale));
  };
  pair("Test accuracy (%)", &EpochRecord::test_accuracy, true);
  pair("Test loss", &EpochRecord::test_loss, false);
  pair("Training loss", &EpochRecord::train_loss, false);
  return absl::StrCat(html, "</div>\n");
}

// One row of a bar chart: its name, its parts from left to right, and the text behind them.
struct Bar {
  std::string name;
  std::vector<std::pair<double, std::string>> parts;  // length, color
  std::string label;
};

std::string BarChart(const std::string& title, const std::vector<Bar>& bars) {
  constexpr double kRow = 26;
  constexpr double kNames = 190;
  constexpr double kLabels = 130;
  double longest = 0;
  for (const Bar& bar : bars) {
    double length = 0;
    for (const auto& [part, color] : bar.parts) length += part;
    longest = std::max(longest, length);
  }
  Svg svg = Svg::OfPage(kWidth, static_cast<int>(kRow * static_cast<double>(bars.size())) + 12, title, "var(--page)");
  double y = 6;
  for (const Bar& bar : bars) {
    constexpr size_t kMost = 26;
    svg.Text(kNames - 8, y + 15, bar.name.size() <= kMost ? bar.name : absl::StrCat(bar.name.substr(0, kMost - 2), "…"),
             {.color = kText, .anchor = Svg::Anchor::kEnd});
    double x = kNames;
    for (const auto& [part, color] : bar.parts) {
      const double length = longest == 0 ? 0 : part / longest * (kWidth - kNames - kLabels);
      svg.Rect(x, y, std::max(length, 0.5), 19, color);
      x += length;
    }
    svg.Text(x + 8, y + 15, bar.label, {.color = kInk});
    y += kRow;
  }
  return Figure(title, svg.Finish());
}

std::string StepChart(const std::vector<RunRecord>& runs) {
  std::vector<Bar> bars;
  for (const RunRecord& run : runs) {
    if (run.step_ms == 0) continue;
    const double other = std::max(0.0, run.step_ms - run.compute_ms - run.compress_ms - run.exchange_ms);
    bars.push_back({run.name,
                    {{run.compute_ms, "var(--compute)"},
                     {run.compress_ms, "var(--compress)"},
                     {run.exchange_ms, "var(--wait)"},
                     {other, "var(--other)"}},
                    absl::StrFormat("%.3g ms, waits %.0f %%", run.step_ms, 100 * run.exchange_ms / run.step_ms)});
  }
  if (bars.empty()) return "";
  std::string legend = "<p class=\"legend\">";
  for (const auto& [name, color] : {std::pair{"compute", "var(--compute)"}, std::pair{"compress", "var(--compress)"},
                                    std::pair{"wait", "var(--wait)"}, std::pair{"other", "var(--other)"}}) {
    absl::StrAppend(&legend, "<span>", Key(color), name, "</span>");
  }
  return absl::StrCat(BarChart("Time of a step", bars), legend, "</p>\n");
}

std::string BytesChart(const std::vector<RunRecord>& runs) {
  std::vector<Bar> bars;
  for (size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [what, bytes] : {std::pair{"pushed", runs[i].pushed_bytes}, {"pulled", runs[i].pulled_bytes}}) {
      const double dense = runs[i].dense_bytes;
      bars.push_back(
          {absl::StrCat(what, ", ", runs[i].name),
           {{bytes, ColorOf(i)}},
           dense == 0 ? FormatBytes(bytes) : absl::StrCat(FormatBytes(bytes), ", ", FormatPercent(bytes / dense))});
    }
  }
  return BarChart("Bytes of a step, all workers, and their part of dense float32", bars);
}

std::string Cell(const std::string& text, const char* kind = "td", const char* attributes = "") {
  return absl::StrCat("<", kind, attributes, ">", text, "</", kind, ">");
}

std::string Or(bool is_known, const std::string& text) { return is_known ? text : "–"; }

std::string ResultTable(const std::vector<RunRecord>& runs) {
  std::string html = "<div class=\"wide\"><table><thead><tr>";
  for (const char* head : {"run", "state", "epochs", "test accuracy", "test loss", "train loss", "time", "step",
                           "waits", "pushed a step", "pulled a step", "saved both ways", "weights"}) {
    html += Cell(head, "th");
  }
  html += "</tr></thead><tbody>\n";
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    const EpochRecord last = run.epochs.empty() ? EpochRecord{0, 0, NAN, NAN, NAN} : run.epochs.back();
    const double both = run.pushed_bytes + run.pulled_bytes;
    html += "<tr>";
    html += Cell(absl::StrCat(Key(ColorOf(i)), EscapeXml(run.name)));
    html += Cell(EscapeXml(run.state), "td", run.state == "failed" ? " class=\"bad\"" : "");
    html += Cell(Or(!run.epochs.empty(), absl::StrCat(run.epochs.size())));
    html += Cell(Or(std::isfinite(last.test_accuracy), FormatPercent(last.test_accuracy)));
    html += Cell(Or(std::isfinite(last.test_loss), absl::StrFormat("%.4f", last.test_loss)));
    html += Cell(Or(std::isfinite(last.train_loss), absl::StrFormat("%.4f", last.train_loss)));
    html += Cell(FormatElapsed(absl::Seconds(run.seconds)));
    html += Cell(Or(run.step_ms > 0, FormatElapsed(absl::Milliseconds(run.step_ms))));
    html += Cell(Or(run.step_ms > 0, absl::StrFormat("%.0f %%", 100 * run.exchange_ms / run.step_ms)));
    html += Cell(FormatBytes(run.pushed_bytes));
    html += Cell(FormatBytes(run.pulled_bytes));
    html += Cell(Or(run.dense_bytes > 0, FormatPercent(1 - both / (2 * run.dense_bytes))));
    html += Cell(Or(!run.weights_crc32c.empty(), EscapeXml(run.weights_crc32c)));
    html += "</tr>\n";
  }
  return absl::StrCat(html, "</tbody></table></div>\n");
}

std::string SettingOf(const RunRecord& run, const std::string& name) {
  const auto found = run.configuration.find(name);
  return found == run.configuration.end() ? "" : found->second;
}

// All settings of a single run; of several runs, those in which they differ.
std::string SettingsTable(const std::vector<RunRecord>& runs) {
  std::set<std::string> names;
  for (const RunRecord& run : runs) {
    for (const auto& [name, value] : run.configuration) names.insert(name);
  }
  std::string rows;
  for (const std::string& name : names) {
    const std::string first = SettingOf(runs.front(), name);
    const bool differs =
        std::any_of(runs.begin(), runs.end(), [&](const RunRecord& run) { return SettingOf(run, name) != first; });
    if (!differs && runs.size() > 1) continue;
    absl::StrAppend(&rows, "<tr>", Cell(EscapeXml(name)));
    for (const RunRecord& run : runs) rows += Cell(EscapeXml(SettingOf(run, name)));
    rows += "</tr>\n";
  }
  const char* heading = runs.size() > 1 ? "Settings that differ" : "Settings";
  if (rows.empty()) return absl::StrCat("<h2>", heading, "</h2>\n<p>none</p>\n");
  std::string html = absl::StrCat("<h2>", heading, "</h2>\n<div class=\"wide\"><table class=\"settings\"><thead><tr>",
                                  Cell("setting", "th"));
  for (size_t i = 0; i < runs.size(); ++i) {
    html += Cell(absl::StrCat(Key(ColorOf(i)), EscapeXml(runs[i].name)), "th");
  }
  return absl::StrCat(html, "</tr></thead><tbody>\n", rows, "</tbody></table></div>\n");
}

}  // namespace

std::string ReportPage(const std::vector<RunRecord>& runs) {
  const std::string title =
      runs.size() == 1 ? absl::StrCat("Run ", runs.front().name) : absl::StrCat(runs.size(), " runs of Compressed-DDP");
  std::string html = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>",
      EscapeXml(title), "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n<h1>", EscapeXml(title), "</h1>\n");
  for (const RunRecord& run : runs) {
    if (!run.error.empty()) {
      absl::StrAppend(&html, "<p class=\"bad\">", EscapeXml(run.name), ": ", EscapeXml(run.error), "</p>\n");
    }
  }
  absl::StrAppend(&html, ResultTable(runs), LearningCharts(runs), "<h2>Cost</h2>\n<div class=\"charts\">\n<div>",
                  StepChart(runs), "</div>\n<div>", BytesChart(runs), "</div>\n</div>\n", SettingsTable(runs),
                  "</body>\n</html>\n");
  return html;
}

}  // namespace cddp::ctl
