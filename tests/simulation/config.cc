// What a seed's cluster consists of, and what goes wrong in it.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/simulation/world.h"

namespace cddp::simulation {
namespace {

// Values that need not be seeds of something else.
constexpr uint64_t kOfConfig = 0xc0ff;
constexpr uint64_t kOfFaults = 0xfa17;

template <typename T>
T OneOf(Random& random, std::initializer_list<T> values) {
  return *(values.begin() + random.Below(values.size()));
}

}  // namespace

Config MakeConfig(uint64_t seed) {
  Random random(seed * 0x10001 + kOfConfig);
  Config config;
  config.servers = OneOf(random, {1u, 1u, 2u, 3u});
  config.workers = OneOf(random, {1u, 2u, 2u, 3u, 4u});
  config.buckets = config.servers + static_cast<uint32_t>(random.Below(3));
  config.bucket_elements = OneOf(random, {6u, 8u, 16u});
  switch (random.Below(6)) {
    case 0:
      config.consistency.mode = Consistency::kStale;
      config.consistency.max_staleness = random.Below(4);
      break;
    case 1:
      config.consistency.mode = Consistency::kAsync;
      break;
    case 2:
      config.consistency.quorum = 1 + static_cast<uint32_t>(random.Below(config.workers));
      break;
    default:
      break;
  }
  if (random.Chance(0.1)) {
    config.durability = Durability::kNone;
  } else if (random.Chance(0.05)) {
    config.durability = Durability::kSnapshot;
  }
  config.log_versions = OneOf<uint64_t>(random, {1, 4, 1000});
  config.snapshot_bytes = OneOf<uint64_t>(random, {30'000, 100'000, 400'000});
  config.checkpoint_every = OneOf<uint64_t>(random, {0, 0, 5});
  config.lease = OneOf(random, {absl::Seconds(3), absl::Seconds(5), absl::Seconds(10)});
  config.server_timeout = OneOf(random, {absl::Seconds(20), absl::Seconds(60)});
  config.compute = OneOf(random, {absl::Milliseconds(20), absl::Milliseconds(100), absl::Milliseconds(400)});
  config.sync_time = OneOf(random, {absl::Microseconds(100), absl::Milliseconds(1), absl::Milliseconds(20)});
  config.compressor.compressor.ratio = OneOf(random, {0.1, 0.3, 1.0});
  config.compressor.compressor.value_encoding = ValueEncoding::kFp32;
  config.checkpoint_steps = OneOf<uint64_t>(random, {0, 1, 3, 10});
  config.non_finite = OneOf(random, {0.0, 0.0, 0.05});
  config.preemption = OneOf(random, {0.0, 0.01, 0.2});
  config.orders_names = random.Chance(0.5);
  config.reads_every = OneOf(random, {absl::InfiniteDuration(), absl::InfiniteDuration(), absl::Milliseconds(20)});
  config.network.most_delay = OneOf(random, {absl::Milliseconds(1), absl::Milliseconds(30)});
  config.network.lost = OneOf(random, {0.0, 0.0, 0.02});
  config.network.late = OneOf(random, {0.0, 0.01});
  config.network.repeated = OneOf(random, {0.0, 0.01});
  config.network.outlives_servers = config.durability == Durability::kVersion;
  return config;
}

std::string Describe(const Config& config) {
  return absl::StrCat(
      "servers=", config.servers, " workers=", config.workers, " buckets=", config.buckets, "x", config.bucket_elements,
      " consistency=", AbslUnparseFlag(config.consistency.mode), " quorum=", config.consistency.quorum,
      " max_staleness=", config.consistency.max_staleness, " durability=", AbslUnparseFlag(config.durability),
      " log_versions=", config.log_versions, " snapshot_bytes=", config.snapshot_bytes,
      " checkpoint_every=", config.checkpoint_every, " lease=", absl::FormatDuration(config.lease),
      " server_timeout=", absl::FormatDuration(config.server_timeout),
      " compute=", absl::FormatDuration(config.compute), " sync=", absl::FormatDuration(config.sync_time),
      " ratio=", config.compressor.compressor.ratio, " worker_checkpoints=", config.checkpoint_steps,
      " non_finite=", config.non_finite, " preemption=", config.preemption, " orders_names=", config.orders_names,
      " reads_every=", absl::FormatDuration(config.reads_every), " lost=", config.network.lost,
      " late=", config.network.late, " repeated=", config.network.repeated);
}

std::vector<Fault> MakeFaults(uint64_t seed, const Config& config) {
  Random random(seed * 0x10001 + kOfFaults);
  std::vector<Fault> faults;
  absl::Duration at = random.Between(absl::ZeroDuration(), absl::Seconds(2));
  for (uint64_t left = random.Below(10); left > 0; --left) {
    Fault fault;
    fault.kind = static_cast<Fault::Kind>(random.Below(Fault::kKinds));
    fault.server = static_cast<uint32_t>(random.Below(config.servers));
    fault.worker = static_cast<uint32_t>(random.Below(config.workers));
    fault.of = static_cast<Fault::Of>(random.Below(3));
    fault.carries = static_cast<Fault::Carries>(random.Below(3));
    fault.at = at;
    fault.operation = static_cast<Disk::Operation>(random.Below(static_cast<uint64_t>(Disk::Operation::kOperations)));
    fault.after = random.Between(absl::ZeroDuration(), 3 * config.sync_time);
    fault.lasts = random.Chance(0.7) ? random.Between(absl::Milliseconds(10), absl::Seconds(1))
                                     : random.Between(absl::Seconds(1), 2 * config.lease);
    if (fault.kind == Fault::kComeBackAndDie || fault.kind == Fault::kComeBackTwice)
      fault.lasts = config.lease + random.Between(absl::Seconds(1), absl::Seconds(3));
    faults.push_back(fault);
    // Often one right after the other.
    at += random.Chance(0.5) ? random.Between(absl::ZeroDuration(), absl::Milliseconds(500))
                             : random.Between(absl::ZeroDuration(), absl::Seconds(5));
  }
  return faults;
}

static absl::string_view OperationName(Disk::Operation operation) {
  constexpr absl::string_view kNames[] = {"append", "sync", "new file", "renaming", "removal", "folder's sync"};
  return kNames[static_cast<size_t>(operation)];
}

std::string Describe(const Fault& fault) {
  const std::string lasts = absl::FormatDuration(absl::Trunc(fault.lasts, absl::Milliseconds(1)));
  const std::string server = absl::StrCat("server ", fault.server);
  const std::string worker = absl::StrCat("worker ", fault.worker);
  switch (fault.kind) {
    case Fault::kKillServer:
      return absl::StrCat(server, " is killed, and starts again after ", lasts);
    case Fault::kLosePower:
      return absl::StrCat(server, " loses its power for ", lasts);
    case Fault::kLosePowerOfAll:
      return absl::StrCat("all servers lose their power for ", lasts);
    case Fault::kRestartServer:
      return absl::StrCat(server, " gets SIGTERM, and starts again after ", lasts);
    case Fault::kKillWorker:
      return absl::StrCat(worker, " is killed, and starts again after ", lasts);
    case Fault::kAbandonWorker:
      return absl::StrCat(worker, " is killed, and no other comes in its place");
    case Fault::kReplaceWorker:
      return absl::StrCat(worker, " is killed, and one without a checkpoint comes after ", lasts);
    case Fault::kCut:
      return absl::StrCat("the network is cut for ", lasts, ": ",
                          fault.of == Fault::Of::kLink     ? absl::StrCat(worker, " and ", server)
                          : fault.of == Fault::Of::kWorker ? absl::StrCat(worker, " and all servers")
                                                           : absl::StrCat("all workers and ", server),
                          fault.carries == Fault::Carries::kNothing    ? ", both ways"
                          : fault.carries == Fault::Carries::kRequests ? ", requests pass"
                                                                       : ", answers pass");
    case Fault::kStallDisk:
      return absl::StrCat(server, "'s disk stands still for ", lasts);
    case Fault::kFillDisk:
      return absl::StrCat(server, "'s disk is full for ", lasts);
    case Fault::kFailSync:
      return absl::StrCat(server, "'s next sync fails");
    case Fault::kFailSyncOfStart:
      return absl::StrCat(server, " is killed, and starts again after ", lasts, ", but its first sync fails");
    case Fault::kLosePowerAtCall:
      return absl::StrCat(server, " loses its power ", absl::FormatDuration(fault.after), " after the next ",
                          OperationName(fault.operation), " for ", lasts);
    case Fault::kFillDiskAtCall:
      return absl::StrCat(server, "'s disk is full at the next ", OperationName(fault.operation), " for ", lasts);
    case Fault::kFlipBit:
      return absl::StrCat(server, " is killed, a bit of its disk flips, and it starts again after ", lasts);
    case Fault::kFreezeServer:
      return absl::StrCat(server, " stands still for ", lasts);
    case Fault::kFreezeWorker:
      return absl::StrCat(worker, " stands still for ", lasts);
    case Fault::kStranger:
      return absl::StrCat("a worker with other flags comes to ", server);
    case Fault::kComeBackAndDie:
      return absl::StrCat(worker, " is cut off for ", lasts, "; when it is back it dies, and so does the server");
    case Fault::kComeBackTwice:
      return absl::StrCat(worker, " is killed, and starts again after ", lasts,
                          "; when it is back, a server is restarted and it goes back to its checkpoint");
    case Fault::kTurnClockBack:
      return absl::StrCat(worker, "'s clock is set back; it is killed, and starts again after ", lasts);
    case Fault::kLoseCalls:
      return absl::StrCat("the network loses many calls for ", lasts);
    case Fault::kKinds:
      break;
  }
  return "";
}

}  // namespace cddp::simulation
