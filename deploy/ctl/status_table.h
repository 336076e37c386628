// The tables that `cddp status` prints.

#ifndef DEPLOY_CTL_STATUS_TABLE_H_
#define DEPLOY_CTL_STATUS_TABLE_H_

#include <string>
#include <vector>

#include "deploy/ctl/status_client.h"

namespace cddp::ctl {

// A summary line, a table of shards and a table of workers. Rates come from the difference between two queries of the
// same servers; a server that did not answer in `before` has no rates, and one that does not answer in `now` gets a row
// that says why.
std::string StatusTables(const std::vector<ServerStatus>& before, const std::vector<ServerStatus>& now);

// Cells in columns of their widest cell's width; the first row is the head. A row may end early; then its last cell
// does not widen its column and may have any length. Columns named in `right` are right-aligned.
std::string AlignColumns(const std::vector<std::vector<std::string>>& rows, const std::vector<size_t>& right);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_STATUS_TABLE_H_
