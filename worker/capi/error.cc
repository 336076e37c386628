#include "worker/capi/error.h"

#include <string>

namespace cddp::capi {
namespace {

std::string& Message() {
  thread_local std::string message;
  return message;
}

}  // namespace

cddp_code Return(const absl::Status& status) {
  if (!status.ok()) Message() = std::string(status.message());
  return static_cast<cddp_code>(status.code());
}

}  // namespace cddp::capi

const char* cddp_error_message(void) { return cddp::capi::Message().c_str(); }

const char* cddp_code_name(cddp_code code) {
  switch (code) {
    case CDDP_OK:
      return "OK";
    case CDDP_CANCELLED:
      return "CANCELLED";
    case CDDP_UNKNOWN:
      return "UNKNOWN";
    case CDDP_INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case CDDP_DEADLINE_EXCEEDED:
      return "DEADLINE_EXCEEDED";
    case CDDP_NOT_FOUND:
      return "NOT_FOUND";
    case CDDP_ALREADY_EXISTS:
      return "ALREADY_EXISTS";
    case CDDP_PERMISSION_DENIED:
      return "PERMISSION_DENIED";
    case CDDP_RESOURCE_EXHAUSTED:
      return "RESOURCE_EXHAUSTED";
    case CDDP_FAILED_PRECONDITION:
      return "FAILED_PRECONDITION";
    case CDDP_ABORTED:
      return "ABORTED";
    case CDDP_OUT_OF_RANGE:
      return "OUT_OF_RANGE";
    case CDDP_UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    case CDDP_INTERNAL:
      return "INTERNAL";
    case CDDP_UNAVAILABLE:
      return "UNAVAILABLE";
    case CDDP_DATA_LOSS:
      return "DATA_LOSS";
    case CDDP_UNAUTHENTICATED:
      return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}
