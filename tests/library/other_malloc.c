/* A malloc to be preloaded, as jemalloc and tcmalloc are: it ends the process if it is given back what another one
 * gave. It never reuses memory. */

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  uint64_t magic;
  uint64_t size;
} Head; /* before every piece */

static const uint64_t kMagic = 0x5ca1ab1e5ca1ab1e;
static char arena[(size_t)1 << 30];
static atomic_size_t used;

static void* take(size_t alignment, size_t size) {
  size_t at;
  uintptr_t piece;
  if (alignment < 16) alignment = 16;
  at = atomic_fetch_add(&used, (size + alignment + sizeof(Head) + 15) & ~(size_t)15);
  piece = ((uintptr_t)arena + at + sizeof(Head) + alignment - 1) & ~(uintptr_t)(alignment - 1);
  if (piece + size > (uintptr_t)arena + sizeof(arena)) abort();
  ((Head*)piece)[-1].magic = kMagic;
  ((Head*)piece)[-1].size = size;
  return (void*)piece;
}

static Head* head_of(void* piece) {
  static const char kMessage[] = "other_malloc: this was allocated by another malloc\n";
  const uintptr_t at = (uintptr_t)piece, begin = (uintptr_t)arena;
  if (at >= begin && at < begin + sizeof(arena) && ((Head*)piece)[-1].magic == kMagic) return (Head*)piece - 1;
  if (write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1) < 0) abort();
  abort();
}

void* malloc(size_t size) { return take(16, size); }
void* calloc(size_t count, size_t size) { return take(16, count * size); }
void* aligned_alloc(size_t alignment, size_t size) { return take(alignment, size); }
void* memalign(size_t alignment, size_t size) { return take(alignment, size); }
int posix_memalign(void** piece, size_t alignment, size_t size) {
  *piece = take(alignment, size);
  return 0;
}
size_t malloc_usable_size(void* piece) { return piece == NULL ? 0 : head_of(piece)->size; }
void free(void* piece) {
  if (piece != NULL) head_of(piece)->magic = 0;
}
void* realloc(void* piece, size_t size) {
  void* larger = malloc(size);
  if (piece == NULL) return larger;
  memcpy(larger, piece, head_of(piece)->size < size ? head_of(piece)->size : size);
  free(piece);
  return larger;
}
