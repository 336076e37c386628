// A thread. Code that waits says Thread, Mutex and CondVar, so that one decision, made here, says what they are:
// tests/simulation compiles the same code with threads, locks and time of its own.

#ifndef COMMON_SYNC_THREAD_H_
#define COMMON_SYNC_THREAD_H_

#include <thread>

namespace cddp {

using Thread = std::thread;

}  // namespace cddp

#endif  // COMMON_SYNC_THREAD_H_
