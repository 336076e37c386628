// One simulated cluster, from a seed: what it consists of, what goes wrong when, and who watches.

#ifndef TESTS_SIMULATION_WORLD_H_
#define TESTS_SIMULATION_WORLD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/layout/parameter_layout.h"
#include "server/shard.h"
#include "tests/simulation/history.h"
#include "tests/simulation/network.h"
#include "tests/simulation/runtime/kernel.h"
#include "tests/simulation/server_host.h"
#include "tests/simulation/worker_host.h"
#include "worker/buckets/gradient_compressor.h"

namespace cddp::simulation {

struct Config {
  uint32_t servers = 1;
  uint32_t workers = 1;
  uint32_t buckets = 1;
  uint32_t bucket_elements = 8;
  ConsistencyOptions consistency;
  Durability durability = Durability::kVersion;
  uint64_t log_versions = 1;
  uint64_t snapshot_bytes = 0;
  uint64_t checkpoint_every = 0;
  absl::Duration lease = absl::Seconds(5);
  absl::Duration server_timeout = absl::Seconds(30);
  absl::Duration compute = absl::Milliseconds(50);
  absl::Duration sync_time = absl::Milliseconds(1);
  GradientCompressorOptions compressor;
  uint64_t checkpoint_steps = 0;  // of workers; 0: none
  double non_finite = 0;          // losses
  double preemption = 0;
  bool orders_names = true;    // see Disk
  absl::Duration reads_every;  // somebody reads weights
  NetworkOptions network;
};
Config MakeConfig(uint64_t seed);
std::string Describe(const Config& config);

// Something that goes wrong.
struct Fault {
  enum Kind {
    kKillServer,      // SIGKILL: what was written stays
    kLosePower,       // of a server
    kLosePowerOfAll,  // servers
    kRestartServer,   // SIGTERM
    kKillWorker,      // and its checkpoint is used
    kAbandonWorker,   // no other comes before all the others have got on
    kReplaceWorker,   // one without a checkpoint comes in its place
    kCut,             // a link, or all of a server or a worker
    kStallDisk,
    kFillDisk,
    kFailSync,
    kFailSyncOfStart,  // after a kill
    kLosePowerAtCall,  // of the disk
    kFillDiskAtCall,
    kFlipBit,  // of the disk; once a start has found it, it is flipped back
    kFreezeServer,
    kFreezeWorker,
    kStranger,        // one with another rank, number of workers or model wants to join
    kComeBackAndDie,  // a worker that was lost is back, and dies, and the server too
    kComeBackTwice,   // a worker that was lost is back, and goes back to its checkpoint while the server is restarted
    kTurnClockBack,
    kLoseCalls,  // for a while
    kKinds,
  };
  absl::Duration at;
  Kind kind = kKinds;
  uint32_t server = 0;
  uint32_t worker = 0;
  // Of kCut: which links, and what they still carry.
  enum class Of { kLink, kWorker, kServer } of = Of::kLink;
  enum class Carries { kNothing, kRequests, kAnswers } carries = Carries::kNothing;
  absl::Duration lasts;  // until it is mended
  // Of kLosePowerAtCall, kFillDiskAtCall.
  Disk::Operation operation = Disk::Operation::kSync;
  absl::Duration after;
};
std::vector<Fault> MakeFaults(uint64_t seed, const Config& config);
std::string Describe(const Fault& fault);

enum class Tells { kNothing, kEvents, kEverything };

class World {
 public:
  // Of the seed's faults, those of these numbers do not happen.
  World(uint64_t seed, const std::set<size_t>& left_out, Tells tells);
  ~World();

  // Lets it happen; empty if nothing was wrong.
  std::string Run();

  const Config& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }
  Network& network() { return network_; }
  History& history() { return *history_; }
  ServerHost& server(uint32_t shard) { return *servers_[shard]; }
  uint64_t target_step() const { return target_step_; }
  const std::vector<Fault>& faults() const { return faults_; }
  uint64_t fingerprint() const { return kernel_.fingerprint(); }
  uint64_t switches() const { return kernel_.switches(); }
  uint64_t steps() const;

  void Tell(const std::string& what);
  void Violated(const std::string& what);
  // A push has come to a server.
  void NoteRequest(uint32_t shard, uint32_t rank);
  void NoteWorkerError(uint32_t rank, const absl::Status& status);

 private:
  // A rank whose worker dies with one of its next calls with pushes, and what happens to the server that has it.
  struct Ambush {
    Fault::Kind kind = Fault::kComeBackAndDie;
    uint32_t rank = 0;
    uint64_t calls = 0;  // before that one
  };

  void Operate();    // begin, faults, healing, end
  void Supervise();  // starts what has ended
  void Apply(const Fault& fault);
  void ApplyToDisk(const Fault& fault);
  void ReadNowAndThen();
  void Stranger(const Fault& fault);
  void Abandon(uint32_t rank);
  void Strike(const Ambush& ambush, uint32_t shard);
  void CheckReplicas();
  void Cut(const Fault& fault);
  void Mend(const Fault& fault);
  void Heal();
  bool HasBegun() const;  // does every bucket have a version?
  bool AllFinished() const;
  bool AwaitWorkers();
  void BeginAnew();
  void CheckEnd();
  void EndAll();

  const std::set<size_t> left_out_;
  const Tells tells_;
  const Config config_;
  const std::vector<Fault> faults_;
  Kernel kernel_;
  Random random_;
  const ParameterLayout layout_;
  Network network_;
  std::unique_ptr<History> history_;
  std::vector<std::unique_ptr<ServerHost>> servers_;
  std::vector<std::unique_ptr<WorkerHost>> workers_;
  std::vector<absl::Duration> server_due_;  // when it is started again
  std::vector<absl::Duration> worker_due_;
  uint64_t target_step_ = UINT64_MAX;
  std::set<uint32_t> away_;  // ranks whose workers were abandoned
  std::optional<Ambush> ambush_;
  bool healed_ = false;
  bool must_begin_anew_ = false;  // a worker was told that a server has lost its state
  bool began_anew_ = false;       // that has been done, after all was mended
  bool ending_ = false;
  bool over_ = false;      // every process has freed what it held
  std::string violation_;  // the first
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_WORLD_H_
