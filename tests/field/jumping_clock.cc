// To be preloaded: a wall clock that somebody sets an hour forwards and back, every 50 ms. gRPC's own libraries see the
// kernel's: they wait for moments of that one, which this does not change.

#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

namespace {

bool IsOfGrpc(const void* caller) {
  Dl_info info;
  if (dladdr(caller, &info) == 0 || info.dli_fname == nullptr) return false;
  return strstr(info.dli_fname, "libgpr") != nullptr || strstr(info.dli_fname, "libgrpc") != nullptr;
}

int Tell(clockid_t clock, timespec* now, const void* caller) {
  const int result = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) || IsOfGrpc(caller)) return result;
  timespec steady;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &steady);
  const long periods = steady.tv_sec * 20 + steady.tv_nsec / 50'000'000;
  if (periods % 2 != 0) now->tv_sec += 3600;
  return 0;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept { return Tell(clock, now, __builtin_return_address(0)); }

int gettimeofday(timeval* now, void* /*zone*/) noexcept {
  timespec time;
  Tell(CLOCK_REALTIME, &time, __builtin_return_address(0));
  *now = {time.tv_sec, time.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* now) noexcept {
  timespec time;
  Tell(CLOCK_REALTIME, &time, __builtin_return_address(0));
  if (now != nullptr) *now = time.tv_sec;
  return time.tv_sec;
}

}  // extern "C"
