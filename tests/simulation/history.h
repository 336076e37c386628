// What has been seen of a simulated training, and what can therefore no longer become untrue. Gradients are whole
// numbers, so that sums are exact: of every version it is known from which contributions it was made.

#ifndef TESTS_SIMULATION_HISTORY_H_
#define TESTS_SIMULATION_HISTORY_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "common/layout/parameter_layout.h"
#include "common/transport/exchange_message.h"
#include "server/consistency.h"

namespace cddp::simulation {

// Every call reports what breaks an invariant through `violated`, which may be called more than once.
class History {
 public:
  using Violated = std::function<void(const std::string& what)>;
  History(const ParameterLayout& layout, uint32_t workers, uint32_t servers, const ConsistencyOptions& consistency,
          bool durable, Violated violated);

  // Called with every push, answer and version; null: nobody wants to know.
  void set_tell(std::function<void(const std::string& what)> tell) { tell_ = std::move(tell); }

  // A worker's process has made a push; the same may be noted again.
  void NotePush(uint32_t rank, uint64_t incarnation, const Push& push);

  // A server answers it. From now on nothing may take that back.
  void NoteAnswer(uint32_t rank, uint64_t incarnation, const Push& push, const PushReply& reply);

  // Somebody was told that the bucket is at that version, or later: nothing may take that back.
  void NoteTold(uint32_t bucket, uint64_t version) { answered_[bucket] = std::max(answered_[bucket], version); }

  // A server has been started and read its files.
  void NoteRecovered(uint32_t bucket, uint64_t version, absl::Span<const float> weights);

  // Somebody has these weights: a worker's replica, or what a server publishes.
  void NoteWeights(const std::string& who, uint32_t bucket, uint64_t version, absl::Span<const float> weights);

  // A worker was told that server's view; a server has this one after a start.
  void NoteView(uint32_t server, uint64_t view);
  void NoteRecoveredView(uint32_t server, uint64_t view);

  // Once nothing happens any more: everything that was answered counts.
  void CheckThatAllCounts();

  uint64_t newest_version(uint32_t bucket) const { return answered_[bucket]; }
  // Did a server come back with less than it had answered? (where nothing is promised)
  bool lost_versions() const { return lost_versions_; }

 private:
  // A contribution to a bucket, or several that exclude each other: those of one worker to one step.
  struct Contribution {
    uint32_t rank = 0;
    uint64_t incarnation = 0;  // 0 in synchronous training, where steps are known beyond it
    uint64_t step = 0;
    std::vector<std::vector<float>> choices;  // different ones come from different processes
    uint64_t counted_in = 0;                  // version; 0: not known to be
    bool answered = false;                    // and not refused
    bool refused = false;
    uint64_t answered_at = 0;  // largest version that an answer told
  };
  struct Version {
    bool known = false;  // `change` is; the weights may be known without it
    std::string bytes;   // of the change
    std::vector<float> change;
    std::vector<float> weights;  // empty: not known
  };
  struct Bucket {
    std::map<uint64_t, Version> versions;
    std::vector<Contribution> contributions;
  };

  Contribution& Find(uint32_t rank, uint64_t incarnation, const Push& push);
  std::vector<float> Decode(uint32_t bucket, absl::string_view update) const;
  void NoteChange(uint32_t bucket, uint64_t version, absl::string_view bytes);
  // Finds the contributions that make a change, each once.
  bool Explain(uint32_t bucket, uint64_t version);
  // The same among `candidates`, of which at most `most` count, besides `certain` ones.
  bool Explain(uint32_t bucket, uint64_t version, const std::vector<Contribution*>& candidates,
               const std::vector<Contribution*>& certain, size_t most);
  bool Search(uint64_t version, std::vector<float>& left, size_t from, size_t most,
              const std::vector<Contribution*>& candidates, std::vector<Contribution*>& chosen, uint32_t shares);
  void SetWeights(const std::string& who, uint32_t bucket, uint64_t version, absl::Span<const float> weights);

  const ParameterLayout& layout_;
  const uint32_t workers_;
  const ConsistencyOptions consistency_;
  const bool durable_;  // a crash takes nothing back that was answered
  const Violated violated_;
  std::function<void(const std::string& what)> tell_;
  std::vector<Bucket> buckets_;
  std::vector<uint64_t> answered_;  // by bucket: newest version answered
  std::vector<uint64_t> views_;     // by server: newest told
  bool lost_versions_ = false;
};

}  // namespace cddp::simulation

#endif  // TESTS_SIMULATION_HISTORY_H_
