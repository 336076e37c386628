// The simulation's common/sync/thread.h: a thread is a fiber of the process that starts it.

#ifndef TESTS_SIMULATION_RUNTIME_COMMON_SYNC_THREAD_H_
#define TESTS_SIMULATION_RUNTIME_COMMON_SYNC_THREAD_H_

#include <functional>
#include <memory>
#include <utility>

#include "tests/simulation/runtime/kernel.h"

namespace cddp {
inline namespace simulated {

class Thread {
 public:
  Thread() = default;
  explicit Thread(std::function<void()> run) : state_(std::make_shared<State>()) {
    simulation::Kernel& kernel = simulation::Kernel::Get();
    kernel.Spawn(kernel.current_process(), [run = std::move(run), state = state_] {
      run();
      state->done = true;
      simulation::Kernel::Get().WakeAll(&state->joining);
    });
  }
  bool joinable() const { return state_ != nullptr; }
  void join() {
    while (!state_->done) simulation::Kernel::Get().Wait(&state_->joining);
    state_ = nullptr;
  }

 private:
  struct State {
    bool done = false;
    simulation::WaitQueue joining;
  };
  std::shared_ptr<State> state_;
};

}  // namespace simulated
}  // namespace cddp

#endif  // TESTS_SIMULATION_RUNTIME_COMMON_SYNC_THREAD_H_
