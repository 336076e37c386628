#include "deploy/ctl/status_table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "deploy/ctl/format.h"
#include "deploy/ctl/one_cluster.h"

namespace cddp::ctl {
namespace {

using Row = std::vector<std::string>;

const char* StateName(v1::WorkerStatus::State state) {
  switch (state) {
    case v1::WorkerStatus::JOINED:
      return "joined";
    case v1::WorkerStatus::LOST:
      return "LOST";
    case v1::WorkerStatus::FINISHED:
      return "finished";
    case v1::WorkerStatus::LEFT:
      return "left";
    default:
      return "?";
  }
}

// One worker, combined over all shards.
struct WorkerView {
  v1::WorkerStatus::State state = v1::WorkerStatus::STATE_UNSPECIFIED;
  uint64_t min_step = UINT64_MAX;
  uint64_t max_step = 0;
  uint32_t silent_ms = UINT32_MAX;  // at the shard that heard from it last
  double loss = NAN;                // the loss that this shard got
  uint64_t pushed_bytes = 0;
  uint64_t pulled_bytes = 0;
  bool catching_up = false;  // at one shard or more
  uint64_t read_bytes = 0;   // bytes of weights read for that
  uint64_t read_ms = 0;

  void Add(const v1::WorkerStatus& worker) {
    if (worker.silent_ms() <= silent_ms) {
      silent_ms = worker.silent_ms();
      state = worker.state();
      loss = worker.loss();
    }
    min_step = std::min<uint64_t>(min_step, worker.step());
    max_step = std::max<uint64_t>(max_step, worker.step());
    pushed_bytes += worker.received_bytes();
    pulled_bytes += worker.sent_bytes();
    catching_up |= worker.catching_up();
    read_bytes += worker.read_bytes();
    read_ms = std::max<uint64_t>(read_ms, worker.read_ms());
  }
};

std::string StateOf(const WorkerView& worker) {
  if (!worker.catching_up || worker.state != v1::WorkerStatus::JOINED) return StateName(worker.state);
  const double seconds = static_cast<double>(std::max<uint64_t>(worker.read_ms, 1)) / 1000;
  return absl::StrCat("catching up, ", FormatBytes(static_cast<double>(worker.read_bytes)), " at ",
                      FormatBytes(static_cast<double>(worker.read_bytes) / seconds), "/s");
}

std::string Range(uint64_t low, uint64_t high) {
  return low == high ? absl::StrCat(low) : absl::StrCat(low, "..", high);
}

std::string PerSecond(uint64_t before, uint64_t now, double seconds) {
  // A counter that went back shows that the server was restarted.
  return now < before || seconds <= 0 ? "-" : absl::StrCat(FormatBytes((now - before) / seconds), "/s");
}

std::string WaitingFor(const v1::StatusResponse& status) {
  if (status.waiting_ms() == 0 || status.waiting_for().empty()) return "-";
  return absl::StrCat("worker ", absl::StrJoin(status.waiting_for(), ", "), " for ",
                      FormatElapsed(absl::Milliseconds(status.waiting_ms())));
}

Row ShardRow(const ServerStatus* before, const ServerStatus& now) {
  if (!now.response.ok()) {
    return {"-", now.address,
            absl::StrCat("no answer: ", absl::StatusCodeToString(now.response.status().code()), ": ",
                         now.response.status().message())};
  }
  const v1::StatusResponse& status = *now.response;
  std::string received_rate = "-", sent_rate = "-", exchange_rate = "-";
  if (before != nullptr && before->response.ok()) {
    const v1::StatusResponse& old = *before->response;
    const double seconds = absl::ToDoubleSeconds(now.answered_at - before->answered_at);
    received_rate = PerSecond(old.received_bytes(), status.received_bytes(), seconds);
    sent_rate = PerSecond(old.sent_bytes(), status.sent_bytes(), seconds);
    if (status.exchanges() >= old.exchanges() && seconds > 0) {
      exchange_rate = absl::StrFormat("%.0f", (status.exchanges() - old.exchanges()) / seconds);
    }
  }
  return {absl::StrCat(status.shard()),
          now.address,
          status.bucket_end() == status.bucket_begin()
              ? "-"
              : absl::StrCat(status.bucket_begin(), "..", status.bucket_end() - 1),
          FormatCount(status.shard_parameters()),
          Range(status.min_version(), status.max_version()),
          FormatBytes(status.received_bytes()),
          received_rate,
          FormatBytes(status.sent_bytes()),
          sent_rate,
          exchange_rate,
          FormatCount(status.refused_exchanges()),
          FormatCount(status.refused_steps()),
          WaitingFor(status)};
}

std::string SummaryLine(const std::vector<ServerStatus>& servers, const std::map<uint32_t, WorkerView>& workers) {
  const v1::StatusResponse* any = nullptr;
  size_t answering = 0;
  uint64_t min_view = UINT64_MAX;  // each shard numbers its own views
  uint64_t max_view = 0;
  for (const ServerStatus& server : servers) {
    if (!server.response.ok()) continue;
    ++answering;
    min_view = std::min<uint64_t>(min_view, server.response->view());
    max_view = std::max<uint64_t>(max_view, server.response->view());
    if (any == nullptr || server.response->parameters() > 0) any = &*server.response;
  }
  std::string line = absl::StrFormat("%d of %d servers answer", answering, servers.size());
  if (any == nullptr) return line;
  const auto joined = std::count_if(workers.begin(), workers.end(),
                                    [](const auto& entry) { return entry.second.state == v1::WorkerStatus::JOINED; });
  absl::StrAppend(&line, ", ", joined, " of ", any->worker_count(), " workers take part, view ",
                  Range(min_view, max_view), ", ",
                  any->parameters() == 0 ? "no model yet" : absl::StrCat(FormatCount(any->parameters()), " parameters"),
                  ", up ", FormatElapsed(absl::Milliseconds(any->uptime_ms())));
  if (any->shard_count() != servers.size()) {
    absl::StrAppend(&line, " (the cluster has ", any->shard_count(), " shards)");
  }
  if (!any->run().empty()) absl::StrAppend(&line, ", run ", any->run());
  return line;
}

}  // namespace

std::string StatusTables(const std::vector<ServerStatus>& before, const std::vector<ServerStatus>& now) {
  std::vector<Row> shards = {{"SHARD", "ADDRESS", "BUCKETS", "PARAMETERS", "VERSION", "RECEIVED", "RATE", "SENT",
                              "RATE", "EXCHANGES/S", "REFUSED", "SKIPPED", "WAITING FOR"}};
  std::map<uint32_t, WorkerView> workers;
  for (size_t i = 0; i < now.size(); ++i) {
    shards.push_back(ShardRow(i < before.size() ? &before[i] : nullptr, now[i]));
    if (!now[i].response.ok()) continue;
    for (const v1::WorkerStatus& worker : now[i].response->workers()) workers[worker.worker().rank()].Add(worker);
  }
  std::vector<Row> worker_rows = {{"WORKER", "STATE", "STEP", "SILENT FOR", "LOSS", "PUSHED", "PULLED"}};
  for (const auto& [rank, worker] : workers) {
    worker_rows.push_back({absl::StrCat(rank), StateOf(worker), Range(worker.min_step, worker.max_step),
                           FormatElapsed(absl::Milliseconds(worker.silent_ms)), absl::StrFormat("%.4f", worker.loss),
                           FormatBytes(worker.pushed_bytes), FormatBytes(worker.pulled_bytes)});
  }
  const absl::Status one = CheckOneCluster(now);
  std::string text = absl::StrCat(SummaryLine(now, workers), one.ok() ? "" : absl::StrCat("\nWARNING: ", one.message()),
                                  "\n\n", AlignColumns(shards, {3, 4, 5, 6, 7, 8, 9, 10, 11}));
  if (worker_rows.size() > 1) absl::StrAppend(&text, "\n", AlignColumns(worker_rows, {2, 3, 4, 5, 6}));
  return text;
}

std::string AlignColumns(const std::vector<Row>& rows, const std::vector<size_t>& right) {
  std::vector<size_t> widths(rows[0].size());
  for (const Row& row : rows) {
    const size_t fitted = row.size() < widths.size() ? row.size() - 1 : row.size();
    for (size_t i = 0; i < fitted; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const bool free = row.size() < widths.size() && i + 1 == row.size();
      const std::string padding(free ? 0 : widths[i] - row[i].size(), ' ');
      const bool to_right = !free && std::find(right.begin(), right.end(), i) != right.end();
      absl::StrAppend(&line, i == 0 ? "" : "  ", to_right ? padding : "", row[i], to_right ? "" : padding);
    }
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return text;
}

}  // namespace cddp::ctl
