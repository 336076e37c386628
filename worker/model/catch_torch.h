// LibTorch's exceptions as absl::Status.

#ifndef WORKER_MODEL_CATCH_TORCH_H_
#define WORKER_MODEL_CATCH_TORCH_H_

#include <c10/util/Exception.h>

#include <exception>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace cddp {

// Runs `function`, which returns a Status or StatusOr, and turns LibTorch's exceptions into an Internal error.
template <typename Function>
auto CatchTorch(const Function& function) -> decltype(function()) {
  try {
    return function();
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat("LibTorch: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("LibTorch: ", error.what()));
  }
}

}  // namespace cddp

#endif  // WORKER_MODEL_CATCH_TORCH_H_
