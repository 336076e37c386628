#include "tests/simulation/runtime/kernel.h"

#include <algorithm>
#include <limits>

#include "common/check/check.h"
#include "tests/simulation/runtime/stack.h"

namespace cddp::simulation {
namespace {

Kernel* running = nullptr;

}  // namespace

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

absl::Duration Random::Between(absl::Duration low, absl::Duration high) {
  return absl::Nanoseconds(Between(absl::ToInt64Nanoseconds(low), absl::ToInt64Nanoseconds(high)));
}

// Its stack stays for the next one.
class Fiber {
 public:
  explicit Fiber(uint64_t number) : number_(number) { stack_.Begin(&Fiber::Main, this); }

  static void Main(void* self) {
    auto* const fiber = static_cast<Fiber*>(self);
    while (true) {
      fiber->run_();
      fiber->run_ = nullptr;
      Kernel& kernel = Kernel::Get();
      kernel.free_.push_back(fiber);
      kernel.SwitchBack();
    }
  }

  const uint64_t number_;
  Stack stack_;
  Process* process_ = nullptr;
  std::function<void()> run_;
  uint64_t wait_ = 0;  // number of the present or last wait
  bool waits_ = false;
  bool woken_ = false;  // by somebody, not by time
};

Kernel::Kernel(uint64_t seed) : random_(seed) {
  CDDP_CHECK(running == nullptr) << "one simulation at a time";
  running = this;
}

Kernel::~Kernel() { running = nullptr; }

void Kernel::Abandon() {
  for (std::unique_ptr<Fiber>& fiber : fibers_) static_cast<void>(fiber.release());
  fibers_.clear();
  static_cast<void>(new std::vector<Timer>(std::move(timers_)));
  timers_.clear();
}

Kernel& Kernel::Get() { return *running; }
bool Kernel::Running() { return running != nullptr; }

int64_t Kernel::ToNanoseconds(absl::Duration time) {
  return time == absl::InfiniteDuration() ? std::numeric_limits<int64_t>::max() : absl::ToInt64Nanoseconds(time);
}

Process* Kernel::current_process() const { return current_ == nullptr ? nullptr : current_->process_; }

Fiber* Kernel::Spawn(Process* process, std::function<void()> run) {
  if (free_.empty()) {
    fibers_.push_back(std::make_unique<Fiber>(++fibers_made_));
    free_.push_back(fibers_.back().get());
  }
  Fiber* const fiber = free_.back();
  free_.pop_back();
  fiber->process_ = process;
  fiber->run_ = std::move(run);
  ready_.push_back(fiber);
  return fiber;
}

void Kernel::At(absl::Duration time, Process* process, std::function<void()> run) {
  timers_.push_back({std::max(now_, ToNanoseconds(time)), ++timers_set_, nullptr, 0, process, std::move(run)});
  std::push_heap(timers_.begin(), timers_.end());
}

bool Kernel::Run(uint64_t most_switches) {
  while (!stopped_) {
    if (!ready_.empty()) {
      if (++switches_ > most_switches) return false;
      const size_t drawn = ready_.size() == 1 ? 0 : random_.Below(ready_.size());
      Fiber* const next = ready_[drawn];
      ready_[drawn] = ready_.back();
      ready_.pop_back();
      if (next->process_ != nullptr && next->process_->frozen_until > now_) {
        next->waits_ = true;
        timers_.push_back({next->process_->frozen_until, ++timers_set_, next, ++next->wait_, nullptr, nullptr});
        std::push_heap(timers_.begin(), timers_.end());
        continue;
      }
      Mix(next->number_);
      SwitchTo(next);
      continue;
    }
    if (timers_.empty()) return true;
    std::pop_heap(timers_.begin(), timers_.end());
    Timer timer = std::move(timers_.back());
    timers_.pop_back();
    const bool is_late = timer.fiber != nullptr && (!timer.fiber->waits_ || timer.fiber->wait_ != timer.wait);
    if (is_late) continue;
    now_ = timer.time;
    Mix(static_cast<uint64_t>(now_));
    if (timer.fiber != nullptr) {
      MakeReady(timer.fiber);
    } else {
      Spawn(timer.process, std::move(timer.run));
    }
  }
  return true;
}

void Kernel::SwitchTo(Fiber* fiber) {
  current_ = fiber;
  fiber->stack_.Enter(&main_stack_);
  current_ = nullptr;
}

void Kernel::SwitchBack() { current_->stack_.Leave(main_stack_); }

void Kernel::MakeReady(Fiber* fiber) {
  fiber->waits_ = false;
  ready_.push_back(fiber);
}

void Kernel::Yield() {
  ready_.push_back(current_);
  SwitchBack();
}

bool Kernel::Wait(WaitQueue* queue, absl::Duration deadline) {
  Fiber* const fiber = current_;
  CDDP_CHECK(fiber != nullptr) << "only a fiber can wait";
  const uint64_t wait = ++fiber->wait_;
  fiber->waits_ = true;
  fiber->woken_ = false;
  if (queue != nullptr) queue->emplace_back(fiber, wait);
  if (deadline != absl::InfiniteDuration()) {
    timers_.push_back({std::max(now_, ToNanoseconds(deadline)), ++timers_set_, fiber, wait, nullptr, nullptr});
    std::push_heap(timers_.begin(), timers_.end());
  }
  SwitchBack();
  if (!fiber->woken_ && queue != nullptr) {
    const auto left = std::find(queue->begin(), queue->end(), std::pair<Fiber*, uint64_t>(fiber, wait));
    if (left != queue->end()) queue->erase(left);
  }
  return fiber->woken_;
}

void Kernel::Sleep(absl::Duration pause) { Wait(nullptr, Now() + pause); }

bool Kernel::SleepAlive(absl::Duration pause) {
  Process* const process = current_->process_;
  if (process == nullptr) {
    Sleep(pause);
    return true;
  }
  if (!process->dead) Wait(&process->killed, Now() + pause);
  return !process->dead;
}

void Kernel::WakeOne(WaitQueue* queue) {
  while (!queue->empty()) {
    // Any of them, as real locks do it.
    const size_t drawn = queue->size() == 1 ? 0 : random_.Below(queue->size());
    const auto [fiber, wait] = (*queue)[drawn];
    queue->erase(queue->begin() + static_cast<int64_t>(drawn));
    if (!fiber->waits_ || fiber->wait_ != wait) continue;
    fiber->woken_ = true;
    MakeReady(fiber);
    return;
  }
}

void Kernel::WakeAll(WaitQueue* queue) {
  while (!queue->empty()) WakeOne(queue);
}

void Kernel::Kill(Process* process) {
  process->dead = true;
  process->frozen_until = 0;
  WakeAll(&process->killed);
}

}  // namespace cddp::simulation
