// What a shard's journal says of the server that wrote it.

#ifndef SERVER_SHARD_RECOVERY_H_
#define SERVER_SHARD_RECOVERY_H_

#include <string>

#include "server/shard.h"

namespace cddp {

// All options that a result depends on, one "--flag=value" a piece. Two servers with one text make the same of the same
// contributions.
std::string DescribeForJournal(const ShardOptions& options);

// Likewise, what all servers of a cluster must have alike.
std::string DescribeForWorkers(const ShardOptions& options);

// v1::Layout, serialized.
std::string SerializeLayout(const ParameterLayout& layout);

}  // namespace cddp

#endif  // SERVER_SHARD_RECOVERY_H_
