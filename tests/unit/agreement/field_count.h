// Counts the members of an aggregate: the number of braced initialisers that it accepts.

#ifndef TESTS_UNIT_AGREEMENT_FIELD_COUNT_H_
#define TESTS_UNIT_AGREEMENT_FIELD_COUNT_H_

#include <cstddef>
#include <utility>

namespace cddp {

struct AnyMember {
  template <typename T>
  operator T() const;  // never called
};

template <typename T, size_t... kIndex>
constexpr bool TakesMembers(std::index_sequence<kIndex...>) {
  return requires { T{(static_cast<void>(kIndex), AnyMember{})...}; };
}

template <typename T, size_t kCount = 64>
constexpr size_t CountFields() {
  if constexpr (TakesMembers<T>(std::make_index_sequence<kCount>{})) {
    return kCount;
  } else {
    return CountFields<T, kCount - 1>();
  }
}

}  // namespace cddp

#endif  // TESTS_UNIT_AGREEMENT_FIELD_COUNT_H_
