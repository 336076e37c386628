// A comparison of runs, as one page of HTML.

#ifndef DEPLOY_CTL_REPORT_PAGE_H_
#define DEPLOY_CTL_REPORT_PAGE_H_

#include <string>
#include <vector>

#include "deploy/ctl/run_record.h"

namespace cddp::ctl {

// A table of results, charts over epochs and over time, the parts of a step's time, the bytes, and the settings in
// which the runs differ. The page is self-contained: no scripts, and no external resources. It follows the reader's
// choice of light or dark. `runs` must not be empty.
std::string ReportPage(const std::vector<RunRecord>& runs);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_REPORT_PAGE_H_
