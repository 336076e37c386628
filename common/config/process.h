// How a process runs: settings of the C and C++ libraries.

#ifndef COMMON_CONFIG_PROCESS_H_
#define COMMON_CONFIG_PROCESS_H_

namespace cddp {

// Of glibc's memory, in bytes: allocations from this on are the kernel's (glibc takes no more), and free memory at the
// end of the heap goes back to it.
inline constexpr int kMmapThreshold = 32 << 20;
inline constexpr int kTrimThreshold = 1 << 30;

// Call once, in main(), before threads start.
//  - Freed memory is kept. A training step, and a round of a server, allocates and frees the same few megabytes each
//    time. By default glibc hands such memory back to the kernel at once, and getting it again, page by page, costs a
//    third of a training step and a quarter of a server's time.
//  - There are two arenas of memory a core, not eight: what was freed in one is of no use to threads of the others, and
//    each grows to the most that it ever held. One a core would cost a server 2 % of its throughput.
//  - As many files may be open as the system allows a process. The usual 1024 are two connections of 500 workers, and a
//    server without a descriptor left cannot begin a new file of its journal.
//  - Abseil's search for deadlocks, on in Debian's build, is off: gRPC takes a lock many times a call.
void TuneProcess();

// Gives the kernel whole pages of freed memory back that TuneProcess has kept: what was needed once (a recovery, a
// snapshot, a burst of calls) would stay forever. The pages that the next step needs are among them, so this is for now
// and then, a minute apart, not for every step. Any thread.
void ReturnFreeMemory();

}  // namespace cddp

#endif  // COMMON_CONFIG_PROCESS_H_
