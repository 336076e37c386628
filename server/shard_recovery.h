// The description of the server that wrote a shard's journal.

#ifndef SERVER_SHARD_RECOVERY_H_
#define SERVER_SHARD_RECOVERY_H_

#include <string>

#include "server/shard.h"

namespace cddp {

// What a journal is written under: all that must be the same after a restart, "--flag=value" separated by spaces. Two
// servers with one text make the same of the same contributions.
std::string DescribeForJournal(const ShardOptions& options);

// Likewise, what all servers of a cluster must have alike.
std::string DescribeForWorkers(const ShardOptions& options);

// v1::Layout, serialized.
std::string SerializeLayout(const ParameterLayout& layout);

}  // namespace cddp

#endif  // SERVER_SHARD_RECOVERY_H_
