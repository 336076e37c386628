// How the process treats memory that it frees.

#ifndef COMMON_CONFIG_MEMORY_H_
#define COMMON_CONFIG_MEMORY_H_

namespace cddp {

// A training step, and a round of a server, allocates and frees the same few megabytes each time. By default glibc hands
// such memory back to the kernel at once, and getting it again, page by page, costs a third of a training step and a
// quarter of a server's time; this keeps it. Call once, in main(), before threads start.
void KeepFreedMemory();

}  // namespace cddp

#endif  // COMMON_CONFIG_MEMORY_H_
