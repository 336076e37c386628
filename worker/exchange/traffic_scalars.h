// The values of an exchange for TensorBoard.

#ifndef WORKER_EXCHANGE_TRAFFIC_SCALARS_H_
#define WORKER_EXCHANGE_TRAFFIC_SCALARS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "common/tensorboard/event_file.h"
#include "worker/exchange/gradient_exchange.h"

namespace cddp {

// `steps`: training steps so far; `elements`: of the model. `loss`: the mean of the exchange's steps; nullopt: not
// known.
inline void AddTraffic(uint64_t steps, std::optional<double> loss, const StepTraffic& traffic, uint64_t elements,
                       EventFile* file) {
  std::vector<Scalar> scalars = {
      {"exchange/pushed_bytes", static_cast<double>(traffic.pushed_bytes)},
      {"exchange/pulled_bytes", static_cast<double>(traffic.pulled_bytes)},
      {"exchange/ratio", static_cast<double>(traffic.selected) / static_cast<double>(elements)},
      {"exchange/residual_norm", traffic.residual_norm},
      {"exchange/wait_seconds", traffic.exchange_seconds},
  };
  if (loss.has_value()) scalars.push_back({"loss/train", *loss});
  file->Add(steps, scalars);
}

}  // namespace cddp

#endif  // WORKER_EXCHANGE_TRAFFIC_SCALARS_H_
