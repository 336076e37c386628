// Settings of the C and C++ libraries for a process.

#ifndef COMMON_CONFIG_PROCESS_H_
#define COMMON_CONFIG_PROCESS_H_

namespace cddp {

// Thresholds of glibc's malloc, in bytes: allocations from this size on come from the kernel (glibc accepts no larger
// value), and this much free memory at the heap's end goes back to it.
inline constexpr int kMmapThreshold = 32 << 20;
inline constexpr int kTrimThreshold = 1 << 30;

// Call once, in main(), before threads start.
//  - Freed memory is kept. Each training step, and each round of a server, allocates and frees the same few megabytes.
//    By default glibc returns such memory to the kernel at once, and getting it again, page by page, costs a third of a
//    training step and a quarter of a server's time.
//  - There are two memory arenas per core, not eight: memory freed in one cannot be used by threads of the others, and
//    each keeps its largest size. One per core would cost a server 2 % of its throughput.
//  - The limit of open files is raised to the system's maximum. The usual 1024 suffice for two connections of 500
//    workers, and a server without a free descriptor cannot begin a new file of its journal.
//  - Abseil's deadlock detection, on in Debian's build, is off: gRPC takes locks many times per call.
void TuneProcess();

// Returns whole pages of freed memory, which TuneProcess keeps, to the kernel: otherwise memory that was needed once (a
// recovery, a snapshot, a burst of calls) would stay forever. These include pages that the next step needs, so call it
// about once a minute, not in every step. Any thread.
void ReturnFreeMemory();

}  // namespace cddp

#endif  // COMMON_CONFIG_PROCESS_H_
