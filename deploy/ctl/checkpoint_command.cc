#include "deploy/ctl/checkpoint_command.h"

#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/config/command_line.h"
#include "common/files/durable_file.h"
#include "common/transport/address.h"
#include "common/transport/security_flags.h"
#include "deploy/ctl/checkpoint_client.h"
#include "deploy/ctl/command_flags.h"
#include "deploy/ctl/safetensors.h"

ABSL_FLAG(uint64_t, version, 0, "export the existing checkpoint of this version; 0: make a new checkpoint");
ABSL_FLAG(std::string, export_to, "", "file for the checkpoint's model, as safetensors; empty: none");
ABSL_FLAG(absl::Duration, reach_timeout, absl::Seconds(60), "how long the cluster may take to reach a version");

namespace cddp::ctl {
namespace {

constexpr char kCheckpointUsage[] =
    "cddp checkpoint: makes every server save the state at one version in its --state_dir.\n\n"
    "  cddp checkpoint --servers=10.0.0.1:50051,10.0.0.2:50051 --export_to=model.safetensors\n\n"
    "Servers go back to a checkpoint with --restore_version, and make them on their own with --checkpoint_every.\n"
    "Exit codes: 0 done, 1 not done, 2 bad input.";

absl::Status Run() {
  if (absl::GetFlag(FLAGS_servers).empty()) {
    return absl::InvalidArgumentError("checkpoint: which cluster? --servers=host:port,host:port");
  }
  uint64_t version = absl::GetFlag(FLAGS_version);
  const std::string path = absl::GetFlag(FLAGS_export_to);
  if (version != 0 && path.empty()) return absl::InvalidArgumentError("--version needs --export_to");
  if (!path.empty()) {
    absl::Status status = CheckReplaceable(path);
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("--export_to=", status.message()));
  }
  absl::StatusOr<std::vector<std::string>> addresses = ParseAddresses(absl::GetFlag(FLAGS_servers));
  if (!addresses.ok()) return addresses.status();
  absl::StatusOr<std::shared_ptr<const ClientSecurity>> security = ClientSecurity::Create(SecurityFromFlags());
  if (!security.ok()) return security.status();
  CheckpointClient client(*addresses, security->get(), absl::GetFlag(FLAGS_reach_timeout));
  if (version == 0) {
    const absl::StatusOr<uint64_t> made = client.Make();
    if (absl::IsAborted(made.status()) && !path.empty()) {
      std::printf("checkpoint  none: %s\n", std::string(made.status().message()).c_str());
    } else if (!made.ok()) {
      return absl::IsAborted(made.status())
                 ? absl::FailedPreconditionError(absl::StrCat(
                       made.status().message(), "; start them again, or take the model as it is with --export_to"))
                 : made.status();
    } else {
      version = *made;
      std::printf("checkpoint  version %lu at %zu servers\n", static_cast<unsigned long>(version), addresses->size());
    }
  }
  if (path.empty()) return absl::OkStatus();
  const absl::StatusOr<ClusterWeights> read = client.Read(version);
  if (!read.ok()) return read.status();
  if (absl::Status status = WriteSafetensors(path, read->layout, read->weights, version, read->steps); !status.ok()) {
    return absl::InternalError(
        absl::StrCat(status.message(), "; the servers keep the checkpoint: try again with --version=", version));
  }
  std::printf("model       %s\n", path.c_str());
  return absl::OkStatus();
}

}  // namespace

int RunCheckpointCommand(int argc, char** argv) {
  ParseCommandFlagsOrExit(argc, argv, kCheckpointUsage,
                          {{"deploy/ctl/checkpoint_command.cc", kCommandFlagFile, kSecurityFlagFile}});
  const absl::Status status = Run();
  return status.ok() ? 0 : ReportError(status);
}

}  // namespace cddp::ctl
