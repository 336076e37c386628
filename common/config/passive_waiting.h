// OpenMP's threads sleep while they wait.

#ifndef COMMON_CONFIG_PASSIVE_WAITING_H_
#define COMMON_CONFIG_PASSIVE_WAITING_H_

namespace cddp {

// By default OpenMP's threads spin for some milliseconds after each parallel loop, for another may follow at once. In a
// training step they take the cores from the threads that compress and send, and from other workers: a step of two
// threads on two busy cores takes three times as long. libgomp reads its settings when it is loaded, so these set the
// environment for programs started later. A setting that is there already stays.
void SetPassiveWaiting();

// The same for this process: starts the program once more, with the same arguments, unless its environment has a
// setting already. To be called first in main() by a program that links libgomp.
void StartWithPassiveWaiting(char** argv);

}  // namespace cddp

#endif  // COMMON_CONFIG_PASSIVE_WAITING_H_
