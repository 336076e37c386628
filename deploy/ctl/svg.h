// A drawing in SVG, from the few shapes that a chart needs.

#ifndef DEPLOY_CTL_SVG_H_
#define DEPLOY_CTL_SVG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace cddp::ctl {

// Coordinates are pixels from the top left corner. Colours must be trusted CSS colours; only texts are escaped.
class Svg {
 public:
  enum class Anchor { kStart, kMiddle, kEnd };
  struct TextStyle {
    double size = 12;
    std::string color = "#334155";
    Anchor anchor = Anchor::kStart;
    bool bold = false;
    double rotate = 0;  // degrees, clockwise, about the text's position
  };

  Svg(int width, int height, absl::string_view title);
  // A drawing within a page: it has no own background and font; circles stand out against `background`.
  static Svg OfPage(int width, int height, absl::string_view title, absl::string_view background);

  void Rect(double x, double y, double width, double height, absl::string_view color, double radius = 0);
  void Line(double x1, double y1, double x2, double y2, absl::string_view color, double width = 1);
  void Polyline(const std::vector<std::pair<double, double>>& points, absl::string_view color, double width);
  // `note`: shown when the pointer is over the circle.
  void Circle(double x, double y, double radius, absl::string_view color, absl::string_view note = "");
  void Text(double x, double y, absl::string_view text, const TextStyle& style);

  // The whole document.
  std::string Finish() const;

 private:
  Svg() = default;

  std::string body_;
  std::string background_ = "#ffffff";
};

// For element contents and attribute values. Control characters, which XML cannot hold, become '?'.
std::string EscapeXml(absl::string_view text);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_SVG_H_
