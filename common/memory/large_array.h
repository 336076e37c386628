// Arrays for passes from end to end, aligned for fast access: to cache lines, so that no vector instruction touches
// two, and, if they are large, to huge pages, so that a pass seldom waits for page tables. This makes the server's pass
// over a bucket a sixth shorter.

#ifndef COMMON_MEMORY_LARGE_ARRAY_H_
#define COMMON_MEMORY_LARGE_ARRAY_H_

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <vector>

namespace cddp {

// An allocator for std::vector. Arrays of at least a huge page begin on one and ask the kernel for such pages; if it
// has none left or provides none, they use ordinary pages.
template <typename T>
class LargeArrayAllocator {
 public:
  using value_type = T;

  LargeArrayAllocator() = default;
  template <typename Other>
  explicit(false) LargeArrayAllocator(const LargeArrayAllocator<Other>&) {}

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    void* const memory = ::operator new(bytes, AlignmentOf(count));
    if (bytes >= kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t count) { ::operator delete(memory, AlignmentOf(count)); }

  friend bool operator==(const LargeArrayAllocator&, const LargeArrayAllocator&) { return true; }

 private:
  static constexpr size_t kCacheLine = 64;
  static constexpr size_t kHugePage = size_t{2} << 20;

  static std::align_val_t AlignmentOf(size_t count) {
    return std::align_val_t{count * sizeof(T) >= kHugePage ? kHugePage : kCacheLine};
  }
};

template <typename T>
using LargeArray = std::vector<T, LargeArrayAllocator<T>>;

}  // namespace cddp

#endif  // COMMON_MEMORY_LARGE_ARRAY_H_
