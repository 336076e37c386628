#include "deploy/ctl/status_command.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/config/command_line.h"
#include "common/transport/address.h"
#include "common/transport/security_flags.h"
#include "deploy/ctl/command_flags.h"
#include "deploy/ctl/one_cluster.h"
#include "deploy/ctl/status_client.h"
#include "deploy/ctl/status_table.h"

ABSL_FLAG(absl::Duration, interval, absl::Seconds(1), "time between the two queries from which rates are computed");
ABSL_FLAG(bool, watch, false, "query again every --interval until Ctrl-C");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(3), "how long a server may take to answer");
ABSL_FLAG(
    bool, json, false,
    "one look, as JSON: {\"servers\":[{\"address\":..., \"status\":{...} or \"error\":...}]}, and an \"error\" if they "
    "are not of one cluster; "
    "64-bit numbers are texts there, as in all JSON of Protocol Buffers");

namespace cddp::ctl {
namespace {

constexpr char kStatusUsage[] =
    "cddp status: shows the state of a running cluster.\n\n"
    "  cddp status --servers=10.0.0.1:50051,10.0.0.2:50051 --watch\n\n"
    "Exit codes: 0 all servers answer, 1 some do not, or they are not of one cluster, 2 bad input.";

// The exit code.
int Judge(const std::vector<ServerStatus>& servers) {
  const bool answered =
      std::all_of(servers.begin(), servers.end(), [](const ServerStatus& s) { return s.response.ok(); });
  return answered && CheckOneCluster(servers).ok() ? 0 : kExitFailure;
}

std::string ToJson(const std::vector<ServerStatus>& servers) {
  google::protobuf::util::JsonPrintOptions print_options;
  print_options.always_print_primitive_fields = true;
  print_options.preserve_proto_field_names = true;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ServerStatus& server : servers) {
    nlohmann::ordered_json entry = {{"address", server.address}};
    if (server.response.ok()) {
      std::string text;
      // Fails for messages of unknown types only.
      (void)google::protobuf::util::MessageToJsonString(*server.response, &text, print_options);
      entry["status"] = nlohmann::ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
    } else {
      entry["error"] = server.response.status().ToString();
    }
    list.push_back(std::move(entry));
  }
  nlohmann::ordered_json all = {{"servers", std::move(list)}};
  if (const absl::Status one = CheckOneCluster(servers); !one.ok()) all["error"] = std::string(one.message());
  return all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// On a terminal each output replaces the previous one.
void Show(const std::string& tables, bool again) {
  const char* before = "";
  if (again) before = isatty(STDOUT_FILENO) ? "\x1b[H\x1b[2J" : "\n";
  std::printf("%s%s", before, tables.c_str());
  std::fflush(stdout);
}

}  // namespace

int RunStatusCommand(int argc, char** argv) {
  ParseCommandFlagsOrExit(argc, argv, kStatusUsage,
                          {{"deploy/ctl/status_command.cc", kCommandFlagFile, kSecurityFlagFile}});
  if (absl::GetFlag(FLAGS_servers).empty()) {
    return ReportError(absl::InvalidArgumentError("status: which cluster? --servers=host:port,host:port"));
  }
  absl::StatusOr<std::vector<std::string>> addresses = ParseAddresses(absl::GetFlag(FLAGS_servers));
  if (!addresses.ok()) return ReportError(addresses.status());
  const absl::Duration timeout = absl::GetFlag(FLAGS_timeout);
  const absl::Duration interval = absl::GetFlag(FLAGS_interval);
  for (const auto& [flag, duration] : {std::pair{"--timeout", timeout}, std::pair{"--interval", interval}}) {
    if (duration == absl::ZeroDuration()) {
      return ReportError(absl::InvalidArgumentError(absl::StrCat(flag, "=0: must be longer than nothing")));
    }
  }

  absl::StatusOr<std::shared_ptr<const ClientSecurity>> security = ClientSecurity::Create(SecurityFromFlags());
  if (!security.ok()) return ReportError(security.status());
  StatusClient client(*addresses, security->get());
  std::vector<ServerStatus> before = client.Query(timeout, timeout);
  if (absl::GetFlag(FLAGS_json)) {
    std::printf("%s\n", ToJson(before).c_str());
    return Judge(before);
  }
  for (bool again = false;; again = true) {
    absl::SleepFor(interval);
    std::vector<ServerStatus> now = client.Query(timeout, timeout);
    Show(StatusTables(before, now), again);
    if (!absl::GetFlag(FLAGS_watch)) return Judge(now);
    before = std::move(now);
  }
}

}  // namespace cddp::ctl
