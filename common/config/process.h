// How a process runs: settings of the C and C++ libraries.

#ifndef COMMON_CONFIG_PROCESS_H_
#define COMMON_CONFIG_PROCESS_H_

namespace cddp {

// Call once, in main(), before threads start.
//  - Freed memory is kept. A training step, and a round of a server, allocates and frees the same few megabytes each
//    time. By default glibc hands such memory back to the kernel at once, and getting it again, page by page, costs a
//    third of a training step and a quarter of a server's time.
//  - Abseil's search for deadlocks, on in Debian's build, is off: gRPC takes a lock many times a call.
void TuneProcess();

}  // namespace cddp

#endif  // COMMON_CONFIG_PROCESS_H_
