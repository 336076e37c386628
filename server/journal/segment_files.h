// The files of a journal's segments, for its start and its running part.

#ifndef SERVER_JOURNAL_SEGMENT_FILES_H_
#define SERVER_JOURNAL_SEGMENT_FILES_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "server/journal/journal_options.h"
#include "server/journal/segment.h"

namespace cddp {

// The status, with the name of the segment's file added if it lacks that.
absl::Status InFile(const absl::Status& status, const JournalOptions& options, uint64_t segment);

// Makes the file and its first frame, durably; *bytes is its size.
absl::StatusOr<std::unique_ptr<StateFile>> CreateSegment(const JournalOptions& options, const SegmentHead& head,
                                                         uint64_t* bytes);

// Removes segments and snapshots before `segment`, whose snapshot must be durable.
absl::Status RemoveBefore(const JournalOptions& options, uint64_t segment);

}  // namespace cddp

#endif  // SERVER_JOURNAL_SEGMENT_FILES_H_
