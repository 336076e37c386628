#include "tests/integration/small_data_set.h"

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>

namespace cddp {
namespace {

void PutBigEndian(std::ofstream& file, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) file.put(static_cast<char>(value >> shift));
}

}  // namespace

void WriteSmallDataSet(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  uint32_t random = 1;
  for (const auto& [name, count] : {std::pair{"train", 640u}, std::pair{"t10k", 100u}}) {
    std::ofstream images(folder / (std::string(name) + "-images-idx3-ubyte"), std::ios::binary);
    std::ofstream labels(folder / (std::string(name) + "-labels-idx1-ubyte"), std::ios::binary);
    PutBigEndian(images, 0x803);
    for (uint32_t extent : {count, 12u, 12u}) PutBigEndian(images, extent);
    PutBigEndian(labels, 0x801);
    PutBigEndian(labels, count);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t label = i % 4;
      labels.put(static_cast<char>(label));
      for (uint32_t pixel = 0; pixel < 144; ++pixel) {
        random = random * 1664525 + 1013904223;
        const bool bright = pixel / 12 / 6 == label / 2 && pixel % 12 / 6 == label % 2;
        images.put(static_cast<char>((random >> 24) / 4 + (bright ? 150 : 0)));
      }
    }
  }
}

}  // namespace cddp
