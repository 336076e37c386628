// How a training program takes part: its servers, its rank, and what it pushes.

#ifndef WORKER_CLIENT_CLIENT_OPTIONS_H_
#define WORKER_CLIENT_CLIENT_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/config/steps_choice.h"
#include "common/transport/security_options.h"
#include "worker/buckets/gradient_compressor.h"
#include "worker/cluster/grpc_cluster_options.h"

namespace cddp {

// What workers push.
enum class PushKind {
  kGradients,  // the servers' optimizer makes the steps
  kWeights,    // changes by the program's own optimizer; the servers average them
};

// Texts: "gradients", "weights".
inline bool AbslParseFlag(absl::string_view text, PushKind* kind, std::string* error) {
  if (text != "gradients" && text != "weights") {
    *error = "use gradients or weights";
    return false;
  }
  *kind = text == "weights" ? PushKind::kWeights : PushKind::kGradients;
  return true;
}
inline std::string AbslUnparseFlag(PushKind kind) { return kind == PushKind::kWeights ? "weights" : "gradients"; }

struct ClientOptions {
  ClientOptions() { exchange.small_tensor_elements = 1024; }

  std::string model = "custom";  // the same name at all workers
  PushKind push = PushKind::kGradients;
  StepsChoice local_steps;    // kWeights: between two exchanges
  uint32_t overlap = 0;       // kWeights: steps of the next round while the exchange of the last is under way; 0: none
  bool sparse_adam = false;   // allow Adam at the servers although not every element is pushed
  bool any_outer = false;     // kWeights: allow servers that do not just average
  uint64_t bucket_bytes = 0;  // of float32; 0: by the model's size
  std::string tensorboard;    // folder for event files of rank 0; empty: none
  GradientCompressorOptions exchange;
  SecurityOptions security;
  std::optional<uint32_t> rank = 0;                        // nullopt: any free one
  std::vector<std::string> servers;                        // in shard order
  GrpcClusterOptions cluster;                              // except the members above
  std::vector<std::pair<std::string, std::string>> facts;  // of the program; all workers must have them alike
};

}  // namespace cddp

#endif  // WORKER_CLIENT_CLIENT_OPTIONS_H_
