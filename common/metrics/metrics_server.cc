#include "common/metrics/metrics_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <prometheus/text_serializer.h>

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace cddp {
namespace {

constexpr unsigned kIdleSeconds = 60;
constexpr unsigned kConnectionLimit = 64;

bool ParseListen(const std::string& listen, sockaddr_in* address) {
  const size_t colon = listen.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port > 65535) return false;
  *address = {};
  address->sin_family = AF_INET;
  address->sin_port = htons(static_cast<uint16_t>(port));
  return inet_pton(AF_INET, listen.substr(0, colon).c_str(), &address->sin_addr) == 1;
}

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
  if (*upload_size != 0) return MHD_NO;  // nobody has anything to tell us
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
  sockaddr_in address;
  if (!ParseListen(listen, &address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--metrics_listen=", listen, " is not an IPv4 address and a port, such as 0.0.0.0:9464"));
  }
  std::unique_ptr<MetricsServer> server(new MetricsServer(std::move(registry)));
  server->daemon_ =
      MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, nullptr, nullptr, &Answer, server->registry_.get(),
                       MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT, kConnectionLimit,
                       MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_END);
  if (server->daemon_ == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot serve metrics on ", listen, ": is the port taken? (--metrics_listen)"));
  }
  const uint16_t port = MHD_get_daemon_info(server->daemon_, MHD_DAEMON_INFO_BIND_PORT)->port;
  server->address_ = absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  return server;
}

MetricsServer::~MetricsServer() {
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

}  // namespace cddp
