#include "common/metrics/metrics_server.h"

#include <microhttpd.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/host_port.h"
#include "common/net/listen.h"

namespace cddp {
namespace {

constexpr unsigned kIdleSeconds = 60;
constexpr unsigned kConnectionLimit = 64;

MHD_Result Respond(MHD_Connection* connection, unsigned status, const char* type, const std::string& body) {
  MHD_Response* response =
      MHD_create_response_from_buffer(body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_MUST_COPY);
  MHD_add_response_header(response, "Content-Type", type);
  const MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

// `registry` is a prometheus::Registry.
MHD_Result Answer(void* registry, MHD_Connection* connection, const char* url, const char* method, const char*,
                  const char*, size_t* upload_size, void**) {
  if (*upload_size != 0) return MHD_NO;  // requests have no body
  if (std::strcmp(method, "GET") != 0) {
    return Respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", "only GET\n");
  }
  if (std::strcmp(url, "/metrics") != 0) {
    return Respond(connection, MHD_HTTP_NOT_FOUND, "text/plain", "see /metrics\n");
  }
  const std::string body =
      prometheus::TextSerializer().Serialize(static_cast<prometheus::Registry*>(registry)->Collect());
  return Respond(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", body);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& listen,
                                                                    std::shared_ptr<prometheus::Registry> registry) {
  const auto refused = [&](const absl::Status& status) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot serve metrics on ", listen, ": ", status.message(), " (--metrics_listen)"));
  };
  const absl::StatusOr<HostPort> parsed = ParseHostPort(listen, PortUse::kListen);
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat("--metrics_listen: ", parsed.status().message()));
  const absl::StatusOr<ListenSockets> sockets = ListenOn(*parsed);
  if (!sockets.ok()) return refused(sockets.status());
  for (size_t i = 1; i < sockets->fds.size(); ++i) close(sockets->fds[i]);
  std::unique_ptr<MetricsServer> server(new MetricsServer(std::move(registry)));
  server->daemon_ =
      MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, nullptr, nullptr, &Answer, server->registry_.get(),
                       MHD_OPTION_LISTEN_SOCKET, sockets->fds[0], MHD_OPTION_CONNECTION_LIMIT, kConnectionLimit,
                       MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_END);
  if (server->daemon_ == nullptr) {
    close(sockets->fds[0]);
    return refused(absl::UnknownError("libmicrohttpd does not start"));
  }
  server->address_ = HostPort{parsed->host, sockets->port}.ToString();
  return server;
}

MetricsServer::~MetricsServer() {
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

}  // namespace cddp
