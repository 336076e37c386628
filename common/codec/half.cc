#include "common/codec/half.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/codec/half.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cddp {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using WordTag = hn::RebindToSigned<FloatTag>;
using CodeTag = hn::Rebind<uint16_t, FloatTag>;
using Words = hn::Vec<WordTag>;

HWY_INLINE Words Word(uint32_t value) { return hn::Set(WordTag(), static_cast<int32_t>(value)); }

// A format converts a vector of float bits to codes of 16 bits in 32, and back.
struct Half {
  static HWY_INLINE Words Encode(Words bits) {
    constexpr uint32_t kLargest = 0x477fe000u;        // 65504
    constexpr uint32_t kSmallestNormal = 113u << 23;  // 2^-14
    constexpr uint32_t kOneHalf = 126u << 23;
    const Words sign = hn::And(hn::ShiftRight<16>(bits), Word(0x8000u));
    const Words magnitude = hn::Min(hn::And(bits, Word(0x7fffffffu)), Word(kLargest));
    const Words odd = hn::And(hn::ShiftRight<13>(magnitude), Word(1));
    const Words normal = hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, odd), Word(0xfffu - (112u << 23))));
    // Adding 0.5 aligns a subnormal's last place with the float's, and the adder rounds to nearest even.
    const FloatTag df;
    const auto aligned = hn::Add(hn::BitCast(df, magnitude), hn::BitCast(df, Word(kOneHalf)));
    const Words subnormal = hn::Sub(hn::BitCast(WordTag(), aligned), Word(kOneHalf));
    return hn::Or(sign, hn::IfThenElse(hn::Lt(magnitude, Word(kSmallestNormal)), subnormal, normal));
  }
  static HWY_INLINE Words Decode(Words codes) {
    const Words sign = hn::ShiftLeft<16>(hn::And(codes, Word(0x8000u)));
    const Words magnitude = hn::ShiftLeft<13>(hn::And(codes, Word(0x7fffu)));
    // The exponents' biases differ by 112; a multiplication corrects that, for subnormals too.
    const FloatTag df;
    const auto scaled = hn::Mul(hn::BitCast(df, magnitude), hn::BitCast(df, Word((127u + 112u) << 23)));
    return hn::Or(sign, hn::BitCast(WordTag(), scaled));
  }
};

struct Bf16 {
  static HWY_INLINE Words Encode(Words bits) {
    const Words sign = hn::And(hn::ShiftRight<16>(bits), Word(0x8000u));
    const Words magnitude = hn::Min(hn::And(bits, Word(0x7fffffffu)), Word(0x7f7f0000u));
    const Words odd = hn::And(hn::ShiftRight<16>(magnitude), Word(1));
    return hn::Or(sign, hn::ShiftRight<16>(hn::Add(hn::Add(magnitude, odd), Word(0x7fffu))));
  }
  static HWY_INLINE Words Decode(Words codes) { return hn::ShiftLeft<16>(codes); }
};

template <typename Format>
HWY_INLINE void EncodeAs(float* values, size_t size, uint8_t* to) {
  const FloatTag df;
  const CodeTag dc;
  const size_t lanes = hn::Lanes(df);
  const auto encode = [df, dc](float* in_out, uint16_t* out) HWY_ATTR {
    const Words codes = Format::Encode(hn::BitCast(WordTag(), hn::LoadU(df, in_out)));
    hn::StoreU(hn::DemoteTo(dc, codes), dc, out);  // saturating, but all codes fit
    hn::StoreU(hn::BitCast(df, Format::Decode(codes)), df, in_out);
  };
  uint16_t codes[hn::MaxLanes(df)];
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    encode(values + i, codes);
    std::memcpy(to + 2 * i, codes, 2 * lanes);
  }
  if (i < size) {
    float rest[hn::MaxLanes(df)] = {};
    std::memcpy(rest, values + i, (size - i) * sizeof(float));
    encode(rest, codes);
    std::memcpy(to + 2 * i, codes, 2 * (size - i));
    std::memcpy(values + i, rest, (size - i) * sizeof(float));
  }
}

template <typename Format>
HWY_INLINE void DecodeAs(const uint8_t* from, size_t size, float* values) {
  const FloatTag df;
  const CodeTag dc;
  const size_t lanes = hn::Lanes(df);
  const auto decode = [df, dc](const uint8_t* in, float* out) HWY_ATTR {
    uint16_t codes[hn::MaxLanes(df)];
    std::memcpy(codes, in, 2 * hn::Lanes(df));
    const Words words = hn::PromoteTo(WordTag(), hn::LoadU(dc, codes));
    hn::StoreU(hn::BitCast(df, Format::Decode(words)), df, out);
  };
  size_t i = 0;
  for (; i + lanes <= size; i += lanes) decode(from + 2 * i, values + i);
  if (i < size) {
    uint8_t rest_from[2 * hn::MaxLanes(df)] = {};
    float rest[hn::MaxLanes(df)];
    std::memcpy(rest_from, from + 2 * i, 2 * (size - i));
    decode(rest_from, rest);
    std::memcpy(values + i, rest, (size - i) * sizeof(float));
  }
}

void EncodeHalfKernel(float* values, size_t size, uint8_t* to) { EncodeAs<Half>(values, size, to); }
void DecodeHalfKernel(const uint8_t* from, size_t size, float* values) { DecodeAs<Half>(from, size, values); }
void EncodeBf16Kernel(float* values, size_t size, uint8_t* to) { EncodeAs<Bf16>(values, size, to); }
void DecodeBf16Kernel(const uint8_t* from, size_t size, float* values) { DecodeAs<Bf16>(from, size, values); }

}  // namespace HWY_NAMESPACE
}  // namespace cddp
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cddp {

HWY_EXPORT(EncodeHalfKernel);
HWY_EXPORT(DecodeHalfKernel);
HWY_EXPORT(EncodeBf16Kernel);
HWY_EXPORT(DecodeBf16Kernel);

void EncodeHalf(float* values, size_t size, uint8_t* to) { HWY_DYNAMIC_DISPATCH(EncodeHalfKernel)(values, size, to); }
void DecodeHalf(const uint8_t* from, size_t size, float* values) {
  HWY_DYNAMIC_DISPATCH(DecodeHalfKernel)(from, size, values);
}
void EncodeBf16(float* values, size_t size, uint8_t* to) { HWY_DYNAMIC_DISPATCH(EncodeBf16Kernel)(values, size, to); }
void DecodeBf16(const uint8_t* from, size_t size, float* values) {
  HWY_DYNAMIC_DISPATCH(DecodeBf16Kernel)(from, size, values);
}

}  // namespace cddp
#endif  // HWY_ONCE
