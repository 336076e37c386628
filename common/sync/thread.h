// A thread. Code that waits uses Thread, Mutex and CondVar, so that their implementation is chosen in one place:
// tests/simulation compiles the same code with its own threads, locks and time.

#ifndef COMMON_SYNC_THREAD_H_
#define COMMON_SYNC_THREAD_H_

#include <thread>

namespace cddp {

using Thread = std::thread;

}  // namespace cddp

#endif  // COMMON_SYNC_THREAD_H_
