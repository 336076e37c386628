// Runs beside each other, as one page of HTML.

#ifndef DEPLOY_CTL_REPORT_PAGE_H_
#define DEPLOY_CTL_REPORT_PAGE_H_

#include <string>
#include <vector>

#include "deploy/ctl/run_record.h"

namespace cddp::ctl {

// A table of results, charts over epochs and over time, where a step's time goes, the bytes, and what the runs were
// started with, where they differ. The page holds all that it needs: no scripts, and nothing from elsewhere. It follows
// the reader's choice of light or dark. `runs` is not empty.
std::string ReportPage(const std::vector<RunRecord>& runs);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_REPORT_PAGE_H_
