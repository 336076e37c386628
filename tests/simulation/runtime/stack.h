// A stack of its own for code that runs in turns with others in one thread.

#ifndef TESTS_SIMULATION_RUNTIME_STACK_H_
#define TESTS_SIMULATION_RUNTIME_STACK_H_

#include <cstddef>
#include <memory>

namespace cddp::simulation {

class Stack {
 public:
  Stack();
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  // The first Enter calls main(argument), which never returns.
  void Begin(void (*main)(void*), void* argument);
  // Goes on on this stack, until Leave; *from holds where to return to.
  void Enter(void** from);
  // From this stack back to where Enter was called.
  void Leave(void* to);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_RUNTIME_STACK_H_
