#include "server/journal/journal_options.h"

namespace cddp {

bool AbslParseFlag(absl::string_view text, Durability* durability, std::string* error) {
  for (Durability candidate : {Durability::kVersion, Durability::kSnapshot, Durability::kNone}) {
    if (text == AbslUnparseFlag(candidate)) {
      *durability = candidate;
      return true;
    }
  }
  *error = "must be version, snapshot or none";
  return false;
}

std::string AbslUnparseFlag(Durability durability) {
  switch (durability) {
    case Durability::kVersion:
      return "version";
    case Durability::kSnapshot:
      return "snapshot";
    case Durability::kNone:
      return "none";
  }
  return "";
}

}  // namespace cddp
