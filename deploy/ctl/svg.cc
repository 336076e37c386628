#include "deploy/ctl/svg.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cddp::ctl {
namespace {

const char* Name(Svg::Anchor anchor) {
  switch (anchor) {
    case Svg::Anchor::kStart:
      return "start";
    case Svg::Anchor::kMiddle:
      return "middle";
    case Svg::Anchor::kEnd:
      return "end";
  }
  return "";
}

}  // namespace

Svg::Svg(int width, int height, absl::string_view title) {
  body_ = absl::StrFormat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
      "font-family=\"'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif\">\n"
      "<title>%s</title>\n",
      width, height, width, height, EscapeXml(title));
  Rect(0, 0, width, height, "#ffffff");
}

Svg Svg::OfPage(int width, int height, absl::string_view title, absl::string_view background) {
  Svg svg;
  svg.body_ =
      absl::StrFormat("<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n", width, height, EscapeXml(title));
  svg.background_ = std::string(background);
  return svg;
}

void Svg::Rect(double x, double y, double width, double height, absl::string_view color, double radius) {
  absl::StrAppend(&body_, absl::StrFormat("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%.1f\" "
                                          "fill=\"%s\"/>\n",
                                          x, y, width, height, radius, color));
}

void Svg::Line(double x1, double y1, double x2, double y2, absl::string_view color, double width) {
  absl::StrAppend(&body_, absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                                          "stroke-width=\"%.1f\"/>\n",
                                          x1, y1, x2, y2, color, width));
}

void Svg::Polyline(const std::vector<std::pair<double, double>>& points, absl::string_view color, double width) {
  std::string list;
  for (const auto& [x, y] : points) absl::StrAppend(&list, absl::StrFormat("%.1f,%.1f ", x, y));
  absl::StrAppend(&body_, absl::StrFormat("<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" "
                                          "stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n",
                                          list, color, width));
}

void Svg::Circle(double x, double y, double radius, absl::string_view color, absl::string_view note) {
  const std::string title = note.empty() ? "" : absl::StrCat("<title>", EscapeXml(note), "</title>");
  absl::StrAppend(&body_, absl::StrFormat("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" stroke=\"%s\" "
                                          "stroke-width=\"1.5\"%s\n",
                                          x, y, radius, color, background_,
                                          title.empty() ? "/>" : absl::StrCat(">", title, "</circle>")));
}

void Svg::Text(double x, double y, absl::string_view text, const TextStyle& style) {
  const std::string turn =
      style.rotate == 0 ? "" : absl::StrFormat(" transform=\"rotate(%.0f %.1f %.1f)\"", style.rotate, x, y);
  absl::StrAppend(&body_, absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" fill=\"%s\" "
                                          "text-anchor=\"%s\" font-weight=\"%s\"%s>%s</text>\n",
                                          x, y, style.size, style.color, Name(style.anchor),
                                          style.bold ? "bold" : "normal", turn, EscapeXml(text)));
}

std::string Svg::Finish() const { return absl::StrCat(body_, "</svg>\n"); }

std::string EscapeXml(absl::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    }
  }
  return escaped;
}

}  // namespace cddp::ctl
