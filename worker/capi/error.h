// Errors in the C ABI: a code to return, and a message for the calling thread.

#ifndef WORKER_CAPI_ERROR_H_
#define WORKER_CAPI_ERROR_H_

#include <exception>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cddp/cddp.h"

namespace cddp::capi {

// Keeps the message of an error for cddp_error_message.
cddp_code Return(const absl::Status& status);

// Runs `call`, which returns a status; no exception passes a C function.
template <typename Call>
cddp_code Guard(Call&& call) noexcept {
  try {
    return Return(std::forward<Call>(call)());
  } catch (const std::bad_alloc&) {
    return Return(absl::ResourceExhaustedError("out of memory"));
  } catch (const std::exception& error) {
    return Return(absl::InternalError(error.what()));
  }
}

}  // namespace cddp::capi

#endif  // WORKER_CAPI_ERROR_H_
