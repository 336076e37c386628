// OpenMP's threads sleep while they wait.

#ifndef COMMON_CONFIG_PASSIVE_WAITING_H_
#define COMMON_CONFIG_PASSIVE_WAITING_H_

namespace cddp {

// By default OpenMP's threads spin for some milliseconds after each parallel loop, in case another follows at once. In
// a training step they take the cores from the threads that compress and send, and from other workers: a step of two
// threads on two busy cores takes three times as long. libgomp reads its settings when it is loaded, so this sets the
// environment for programs started later. An existing setting stays.
void SetPassiveWaiting();

// The same for this process: executes the program again, with the same arguments, unless its environment has a setting
// already. A program that links libgomp must call it first in main().
void StartWithPassiveWaiting(char** argv);

}  // namespace cddp

#endif  // COMMON_CONFIG_PASSIVE_WAITING_H_
