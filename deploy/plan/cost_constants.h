// The costs of a step's parts, for the simulation. The values come from netlab's measurements:
//
//   tests/bench/plan_check --calibrate
//
// runs netlab in the settings marked for calibration, fits these constants to step time, processor time and bytes on
// the wire, and prints the lines below. They hold for the machine where it ran: an EPYC of two cores that emulates all
// hosts, whose kernel also does the work of links and switch; other machines can be calibrated likewise.

#ifndef DEPLOY_PLAN_COST_CONSTANTS_H_
#define DEPLOY_PLAN_COST_CONSTANTS_H_

namespace cddp::plan {

struct CostConstants {
  double compress_ns = 0.472;         // of a core per element of a bucket: residual, selection, encoding
  double round_ns = 0.889;            // of a core per element of a bucket: the server's optimizer and publishing
  double entry_ns = 2.91;             // of a core per element sent: decoding and adding, at either end
  double line_ns = 10.6;              // of a core per cache line of 16 elements to which any is added
  double message_us = 23.7;           // of a core per call or answer, at each end
  double byte_ns = 0.474;             // of a core per byte on the wire, at each end
  double message_bytes = 1080;        // headers of fixed size on the wire, both directions
  double wire_factor = 1.03;          // bytes on the wire for each byte of an update
  double goodput = 0.894;             // part of a link's rate that carries data
  double message_latency_ms = 0.315;  // from one program to the other, besides the link's own time
  double step_ms = 0.356;             // between the last answer and the next step
};

}  // namespace cddp::plan

#endif  // DEPLOY_PLAN_COST_CONSTANTS_H_
