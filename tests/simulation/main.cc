// Simulates clusters, one a seed, until one breaks an invariant.
//
//   simulation --seeds=N [--first=K] [--tell[=all]] [--leave_out=I,J] [--noshrink]

#include <spdlog/spdlog.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/simulation/world.h"

namespace {

using cddp::simulation::Tells;
using cddp::simulation::World;

struct Options {
  uint64_t first = 1;
  uint64_t seeds = 1;
  Tells tell = Tells::kNothing;
  bool shrink = true;
  std::set<size_t> left_out;
};

uint64_t present_seed = 0;

std::string Command(uint64_t seed, const std::set<size_t>& left_out) {
  return absl::StrCat("build/release/bin/simulation --first=", seed, " --tell",
                      left_out.empty() ? "" : absl::StrCat(" --leave_out=", absl::StrJoin(left_out, ",")));
}

// A CDDP_CHECK, or worse.
void OnAbort(int signal) {
  std::printf("seed %llu: ended by signal %d\nrepeat: %s\n", static_cast<unsigned long long>(present_seed), signal,
              Command(present_seed, {}).c_str());
  std::fflush(stdout);
  std::_Exit(1);
}

std::string RunOnce(uint64_t seed, const std::set<size_t>& left_out, Tells tell) {
  World world(seed, left_out, tell);
  if (tell != Tells::kNothing) std::printf("%s\n", Describe(world.config()).c_str());
  return world.Run();
}

// Leaves out faults, one after the other, as long as something is still violated.
std::set<size_t> Shrink(uint64_t seed, size_t faults) {
  std::set<size_t> left_out;
  for (size_t fault = faults; fault-- > 0;) {
    std::set<size_t> fewer = left_out;
    fewer.insert(fault);
    if (!RunOnce(seed, fewer, Tells::kNothing).empty()) left_out = fewer;
  }
  return left_out;
}

void Report(uint64_t seed, const std::string& violation, const Options& options) {
  std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), violation.c_str());
  const auto config = cddp::simulation::MakeConfig(seed);
  const auto faults = cddp::simulation::MakeFaults(seed, config);
  const std::set<size_t> left_out = options.shrink ? Shrink(seed, faults.size()) : options.left_out;
  std::printf("  %s\n", Describe(config).c_str());
  for (size_t i = 0; i < faults.size(); ++i) {
    if (left_out.count(i) > 0) continue;
    std::printf("  %8.3f s  %s\n", absl::ToDoubleSeconds(faults[i].at), Describe(faults[i]).c_str());
  }
  std::printf("repeat: %s\n", Command(seed, left_out).c_str());
}

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view arg = argv[i];
    bool ok = true;
    if (absl::ConsumePrefix(&arg, "--seeds=")) {
      ok = absl::SimpleAtoi(arg, &options->seeds);
    } else if (absl::ConsumePrefix(&arg, "--first=")) {
      ok = absl::SimpleAtoi(arg, &options->first);
    } else if (absl::ConsumePrefix(&arg, "--leave_out=")) {
      for (const absl::string_view number : absl::StrSplit(arg, ',')) {
        size_t fault = 0;
        ok = ok && absl::SimpleAtoi(number, &fault);
        options->left_out.insert(fault);
      }
    } else if (arg == "--tell") {
      options->tell = Tells::kEvents;
    } else if (arg == "--tell=all") {
      options->tell = Tells::kEverything;
    } else if (arg == "--noshrink") {
      options->shrink = false;
    } else {
      ok = false;
    }
    if (!ok) {
      std::fprintf(stderr, "%s: not understood; see the first lines of tests/simulation/main.cc\n", argv[i]);
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, &options)) return 2;
  spdlog::set_level(options.tell != Tells::kNothing ? spdlog::level::info : spdlog::level::off);
  spdlog::set_pattern("              %v");
  for (const int signal : {SIGABRT, SIGSEGV}) std::signal(signal, &OnAbort);
  const auto begin = std::chrono::steady_clock::now();
  uint64_t clean = 0;
  uint64_t steps = 0;
  uint64_t switches = 0;
  uint64_t fingerprint = 0;
  for (uint64_t seed = options.first; seed < options.first + options.seeds; ++seed) {
    present_seed = seed;
    std::string violation;
    {
      World world(seed, options.left_out, options.tell);
      if (options.tell != Tells::kNothing) std::printf("%s\n", Describe(world.config()).c_str());
      violation = world.Run();
      steps += world.steps();
      switches += world.switches();
      fingerprint ^= world.fingerprint() * seed;
    }
    if (violation.empty()) {
      ++clean;
      continue;
    }
    Report(seed, violation, options);
    break;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("result clean_seeds %llu\nresult seeds_per_second %.1f\n", static_cast<unsigned long long>(clean),
              static_cast<double>(clean) / seconds);
  std::printf("simulated %llu steps of workers, %llu switches; fingerprint %016llx\n",
              static_cast<unsigned long long>(steps), static_cast<unsigned long long>(switches),
              static_cast<unsigned long long>(fingerprint));
  return clean == options.seeds ? 0 : 1;
}
