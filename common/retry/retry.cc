#include "common/retry/retry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace cddp {

Failure FailureOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:  // a server that is closing its port cancels calls that arrive then
      return Failure::kLost;
    case absl::StatusCode::kResourceExhausted:
      return Failure::kBusy;
    default:
      return Failure::kPermanent;
  }
}

absl::Duration Retry::BusyPatience() const {
  return options_.busy_patience > absl::ZeroDuration() ? options_.busy_patience : 10 * options_.patience;
}

absl::Duration Retry::End() const { return std::min(lost_since_ + options_.patience, busy_since_ + BusyPatience()); }

absl::Duration Retry::Begin(absl::Duration now) {
  begun_ = now;
  if (options_.try_timeout == absl::InfiniteDuration()) return options_.try_timeout;
  // If this try fails, the outage will have begun with it.
  const absl::Duration end = std::min(End(), now + options_.patience);
  // Leaves time for the last try at the end.
  return std::min(options_.try_timeout, std::max(end - now - kLastTry, kLastTry));
}

void Retry::NoteProgress(absl::Duration now) {
  progress_ = now;
  lost_since_ = absl::InfiniteDuration();
  busy_since_ = absl::InfiniteDuration();
  backoff_.Reset();
}

void Retry::NoteHeard(absl::Duration at) { heard_ = std::max(heard_, at); }

std::optional<absl::Duration> Retry::NoteFailure(Failure failure, absl::Duration now) {
  if (failure == Failure::kPermanent) return std::nullopt;
  if (now - begun_ >= kParked) {
    if (failure == Failure::kBusy) {
      NoteProgress(now);
    } else if (heard_ > begun_) {
      NoteProgress(heard_);
    }
  }
  const absl::Duration since = std::max(begun_, progress_);
  if (failure == Failure::kBusy) {
    lost_since_ = absl::InfiniteDuration();
    busy_since_ = std::min(busy_since_, since);
  } else {
    lost_since_ = std::min(lost_since_, since);
  }
  const absl::Duration end = End();
  if (now >= end && begun_ >= end - kLastTry) return std::nullopt;
  ++retries_;
  return std::min(backoff_.Next(), std::max(end - now, absl::ZeroDuration()));
}

absl::Duration Retry::FailingFor(absl::Duration now) const {
  const absl::Duration since = std::min(lost_since_, busy_since_);
  return since == absl::InfiniteDuration() ? absl::ZeroDuration() : now - since;
}

absl::Status GaveUp(absl::string_view address, absl::Duration failing_for, const absl::Status& last) {
  const std::string time = absl::FormatDuration(absl::Trunc(failing_for, absl::Milliseconds(100)));
  switch (FailureOf(last)) {
    case Failure::kBusy:
      return absl::ResourceExhaustedError(
          absl::StrCat("server ", address, " had no room for ", time, ": ", last.message()));
    case Failure::kLost:
      return absl::UnavailableError(absl::StrCat("server ", address, " was out of reach for ", time, " (",
                                                 last.message(), "): is it running, and --servers right?"));
    case Failure::kPermanent:
      break;
  }
  return absl::Status(last.code(), absl::StrCat("server ", address, ": ", last.message()));
}

}  // namespace cddp
