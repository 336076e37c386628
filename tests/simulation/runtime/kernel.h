// Threads, locks and time of a simulation: everything runs in one thread of the machine, and everything that could go
// this way or that is decided by one seed. A simulated thread is a fiber: it runs until it waits, sleeps, or is
// preempted at a lock; which of those that can run goes on is drawn. Time is virtual, and passes only while no fiber
// can run.
//
// The product is compiled with this folder in front of its own: its Mutex, CondVar and Thread are those of
// runtime/common/sync, and MonotonicNow is the virtual clock.

#ifndef TESTS_SIMULATION_RUNTIME_KERNEL_H_
#define TESTS_SIMULATION_RUNTIME_KERNEL_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace cddp::simulation {

// splitmix64. A simulation has several, so that one part's draws do not move another's.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }
  bool Chance(double probability) { return static_cast<double>(Next() >> 11) * 0x1p-53 < probability; }
  // Uniform in [low, high].
  int64_t Between(int64_t low, int64_t high) { return low + static_cast<int64_t>(Below(high - low + 1)); }
  absl::Duration Between(absl::Duration low, absl::Duration high);

 private:
  uint64_t state_;
};

class Fiber;

// What fibers wait in. It may be destroyed while none does.
using WaitQueue = std::deque<std::pair<Fiber*, uint64_t>>;  // with the number of the wait

// A program on one machine, whose threads are fibers. When it is killed nothing that it does reaches the world any
// more: its files and calls fail at once. Its fibers go on until its main function has ended, so that the product's own
// destructors free what it held.
struct Process {
  explicit Process(std::string name) : name(std::move(name)) {}
  const std::string name;
  bool dead = false;
  int64_t frozen_until = 0;  // see Kernel::Freeze
  WaitQueue killed;          // of fibers that shall be woken when it dies
};

// One simulation. One at a time in a process of the machine.
class Kernel {
 public:
  explicit Kernel(uint64_t seed);
  ~Kernel();
  static Kernel& Get();
  static bool Running();  // is there one?

  absl::Duration Now() const { return absl::Nanoseconds(now_); }
  Random& random() { return random_; }

  // How often a fiber is preempted at a lock.
  void set_preemption(double chance) { preemption_ = chance; }

  // A fiber of `process`, which must outlive it; null: of the simulation itself.
  Fiber* Spawn(Process* process, std::function<void()> run);
  Process* current_process() const;
  bool in_fiber() const { return current_ != nullptr; }

  // Runs until no fiber can ever go on, or Stop was called. False after `most_switches`: something turns in circles.
  bool Run(uint64_t most_switches);
  void Stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }
  // Leaves all that fibers hold where it is: they will not go on, and cannot free it.
  void Abandon();

  // Calls `run` in a fiber of its own at that time.
  void At(absl::Duration time, Process* process, std::function<void()> run);

  // From a fiber. Wait returns false if nobody woke it before `deadline`.
  void Yield();
  void MayPreempt() {
    if (current_ != nullptr && preemption_ > 0 && random_.Chance(preemption_)) Yield();
  }
  bool Wait(WaitQueue* queue, absl::Duration deadline = absl::InfiniteDuration());
  void Sleep(absl::Duration pause);
  // Sleeps until then; false, and at once, if the fiber's process dies.
  bool SleepAlive(absl::Duration pause);
  // From anywhere.
  void WakeOne(WaitQueue* queue);
  void WakeAll(WaitQueue* queue);
  void Kill(Process* process);
  // None of its fibers runs before then: it is stopped, as by SIGSTOP or with its machine.
  void Freeze(Process* process, absl::Duration until) { process->frozen_until = ToNanoseconds(until); }

  uint64_t switches() const { return switches_; }
  // Changes with everything that happens: equal for two runs of one seed.
  uint64_t fingerprint() const { return fingerprint_; }
  void Mix(uint64_t value) { fingerprint_ = (fingerprint_ ^ value) * 0x9e3779b97f4a7c15 + (fingerprint_ >> 29); }

 private:
  friend class Fiber;
  struct Timer {
    int64_t time;
    uint64_t number;  // ties go to the one that was set first
    Fiber* fiber;     // to be woken from wait `wait`; null: `run` in a new fiber
    uint64_t wait;
    Process* process;
    std::function<void()> run;
    bool operator<(const Timer& other) const { return time != other.time ? time > other.time : number > other.number; }
  };

  void SwitchTo(Fiber* fiber);
  void SwitchBack();  // from the current fiber to Run
  void MakeReady(Fiber* fiber);
  static int64_t ToNanoseconds(absl::Duration time);

  Random random_;
  double preemption_ = 0;
  int64_t now_ = 0;
  bool stopped_ = false;
  uint64_t switches_ = 0;
  uint64_t timers_set_ = 0;
  uint64_t fingerprint_ = 0;
  uint64_t fibers_made_ = 0;
  Fiber* current_ = nullptr;
  std::vector<Fiber*> ready_;
  std::vector<Timer> timers_;  // a heap
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_;
  void* main_stack_ = nullptr;  // its pointer while a fiber runs
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_RUNTIME_KERNEL_H_
