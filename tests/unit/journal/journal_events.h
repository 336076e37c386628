// Events for tests of the journal: writing them, and reading again what a journal holds.

#ifndef TESTS_UNIT_JOURNAL_JOURNAL_EVENTS_H_
#define TESTS_UNIT_JOURNAL_JOURNAL_EVENTS_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"
#include "server/journal/journal.h"

namespace cddp {

// An event: a tag, its number, and the length of its text; then the text.
inline std::string Head(uint64_t number, const std::string& text) {
  std::string bytes(1, '\x2a');
  ByteWriter to(&bytes);
  to.Put<uint64_t>(number);
  to.Put<uint64_t>(text.size());
  return bytes;
}

inline uint64_t Append(Journal& journal, uint64_t number, const std::string& text) {
  return journal.Append(Head(number, text), text);
}

// Calls `take` with the number and the text of each event; returns how many there are.
inline uint64_t ForEach(const SharedBytes& events,
                        const std::function<void(uint64_t number, absl::string_view text)>& take) {
  ByteReader from(events.view());
  uint64_t count = 0;
  for (; !from.left().empty() && from.ok(); ++count) {
    EXPECT_EQ(from.Get<uint8_t>(), 0x2a);
    const auto number = from.Get<uint64_t>();
    take(number, from.GetBytes());
  }
  EXPECT_TRUE(from.ok()) << "they are cut between events";
  return count;
}

inline JournalOptions InFolder(const std::string& folder) {
  JournalOptions options;
  options.folder = folder;
  return options;
}

// Opens, and says what it has read: "number:text" of every event.
struct Opened {
  absl::StatusOr<std::unique_ptr<Journal>> journal = absl::UnknownError("");
  std::vector<std::string> events;
};

inline Opened Open(FileLayer* files, Durability durability = Durability::kVersion) {
  Opened opened;
  opened.journal = Journal::Open({"state", durability, 0, files}, [&](const SharedBytes& events, uint64_t position) {
    EXPECT_EQ(position, opened.events.size() + 1);
    return ForEach(events, [&](uint64_t number, absl::string_view text) {
      opened.events.push_back(absl::StrCat(number, ":", text));
    });
  });
  return opened;
}

// Writes frames of one event each. Returns how many are durable.
inline size_t Write(Journal& journal, size_t begin, size_t end) {
  for (size_t step = begin; step < end; ++step) {
    if (!journal.Wait(Append(journal, step, std::string(step * 5, 'x'))).ok()) return step;
  }
  return end;
}

inline std::vector<std::string> Events(size_t count) {
  std::vector<std::string> events;
  for (size_t step = 0; step < count; ++step) events.push_back(absl::StrCat(step, ":", std::string(step * 5, 'x')));
  return events;
}

}  // namespace cddp

#endif  // TESTS_UNIT_JOURNAL_JOURNAL_EVENTS_H_
