#include "tests/simulation/runtime/stack.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace cddp::simulation {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = size_t{4} << 20;  // its frames are many times as large
#else
constexpr size_t kStackBytes = size_t{512} << 10;
#endif

}  // namespace

#if defined(__x86_64__)
// ucontext makes two system calls a switch, which would be most of a simulation's time.
extern "C" void cddp_simulation_switch(void** from, void* to);
asm(R"(
.text
.type cddp_simulation_switch, @function
cddp_simulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cddp_simulation_switch, .-cddp_simulation_switch
)");
#endif

struct Stack::Parts {
  char* memory = nullptr;
  void (*main)(void*) = nullptr;
  void* argument = nullptr;
  void* at = nullptr;      // the stack's pointer while it does not run
  void* fake = nullptr;    // the address sanitizer's, while it does not run
  void* others = nullptr;  // likewise, of the thread that entered
  const void* bottom = nullptr;
  size_t size = 0;
#if !defined(__x86_64__)
  ucontext_t own;
  ucontext_t caller;
#endif
};

namespace {

thread_local Stack* entered = nullptr;

}  // namespace

Stack::Stack() : parts_(std::make_unique<Parts>()) {
  void* const memory =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  mprotect(memory, static_cast<size_t>(getpagesize()), PROT_NONE);  // an overflow is found out
  parts_->memory = static_cast<char*>(memory);
}

Stack::~Stack() {
#if defined(__SANITIZE_ADDRESS__)
  // Its last frames never return. What the sanitizer notes of them would be held against the next stack at this place.
  __asan_unpoison_memory_region(parts_->memory, kStackBytes);
#endif
  munmap(parts_->memory, kStackBytes);
}

namespace {

void FinishEnter(void* fake, const void** bottom, size_t* size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, bottom, size);
#endif
}

void StartSwitch(void** fake, const void* bottom, size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake, bottom, size);
#endif
}

}  // namespace

void Stack::Begin(void (*main)(void*), void* argument) {
  parts_->main = main;
  parts_->argument = argument;
  struct Entry {
    static void Run() {
      Parts* const parts = entered->parts_.get();
      FinishEnter(nullptr, &parts->bottom, &parts->size);
      parts->main(parts->argument);
      std::abort();
    }
  };
#if defined(__x86_64__)
  auto* top = reinterpret_cast<void**>(parts_->memory + kStackBytes);
  *--top = nullptr;  // the return address of Run, which does not return; also aligns
  *--top = reinterpret_cast<void*>(&Entry::Run);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  parts_->at = top;
#else
  getcontext(&parts_->own);
  parts_->own.uc_stack.ss_sp = parts_->memory;
  parts_->own.uc_stack.ss_size = kStackBytes;
  parts_->own.uc_link = nullptr;
  makecontext(&parts_->own, &Entry::Run, 0);
#endif
}

void Stack::Enter(void** from) {
  entered = this;
  StartSwitch(&parts_->others, parts_->memory, kStackBytes);
#if defined(__x86_64__)
  cddp_simulation_switch(from, parts_->at);
#else
  swapcontext(&parts_->caller, &parts_->own);
#endif
  FinishEnter(parts_->others, nullptr, nullptr);
}

void Stack::Leave(void* to) {
  StartSwitch(&parts_->fake, parts_->bottom, parts_->size);
#if defined(__x86_64__)
  cddp_simulation_switch(&parts_->at, to);
#else
  swapcontext(&parts_->own, &parts_->caller);
#endif
  FinishEnter(parts_->fake, &parts_->bottom, &parts_->size);
}

}  // namespace cddp::simulation
