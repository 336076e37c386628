#include "common/transport/grpc_log.h"

#include <grpc/support/log.h>

#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/log/log.h"
#include "common/sync/mutex.h"

namespace cddp {
namespace {

constexpr absl::string_view kHandshake = "Handshake failed with fatal error ";
constexpr absl::string_view kCompression = "Compression algorithm ";

Mutex& LogMutex() {
  static auto* mutex = new Mutex;  // gRPC's threads may log until the process ends
  return *mutex;
}
std::set<GrpcRefusals*>& Listeners() {
  static auto* listeners = new std::set<GrpcRefusals*>;
  return *listeners;
}

}  // namespace

void TellGrpcRefusal(GrpcRefusal what, absl::string_view reason) {
  MutexLock lock(LogMutex());
  for (GrpcRefusals* each : Listeners()) each->listener_(what, reason);
}

namespace {

void TakeLine(gpr_log_func_args* line) {
  absl::string_view message = line->message;
  if (absl::ConsumePrefix(&message, kHandshake)) {
    // "SSL_ERROR_SSL: error:0A000086:SSL routines::certificate verify failed."
    if (const size_t routine = message.rfind("::"); routine != absl::string_view::npos) {
      message.remove_prefix(routine + 2);
    }
    TellGrpcRefusal(GrpcRefusal::kHandshake, absl::StripSuffix(message, "."));
    return;
  }
  if (absl::StartsWith(message, kCompression)) {  // "... 'gzip' is disabled."
    TellGrpcRefusal(GrpcRefusal::kCompressed, absl::StripSuffix(message, "."));
    return;
  }
  LogError(absl::StrCat("event=grpc file=", line->file, " reason=\"",
                        absl::StrReplaceAll(line->message, {{"\n", " "}, {"\"", "'"}}), "\""));
}

}  // namespace

void CaptureGrpcLog() {
  static std::once_flag once;
  std::call_once(once, [] { gpr_set_log_function(&TakeLine); });
}

GrpcRefusals::GrpcRefusals(Listener listener) : listener_(std::move(listener)) {
  CaptureGrpcLog();
  MutexLock lock(LogMutex());
  Listeners().insert(this);
}

GrpcRefusals::~GrpcRefusals() {
  MutexLock lock(LogMutex());
  Listeners().erase(this);
}

}  // namespace cddp
