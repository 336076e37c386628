// `cddp report`: compares runs on one page of HTML.

#ifndef DEPLOY_CTL_REPORT_COMMAND_H_
#define DEPLOY_CTL_REPORT_COMMAND_H_

namespace cddp::ctl {

// argv[0] is the command's name. Returns the exit code.
int RunReportCommand(int argc, char** argv);

}  // namespace cddp::ctl

#endif  // DEPLOY_CTL_REPORT_COMMAND_H_
