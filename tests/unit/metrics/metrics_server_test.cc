#include "common/metrics/metrics_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "common/metrics/metrics_probe.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Ask(const std::string& address, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
    (void)!write(fd, request.data(), request.size());
    char piece[1024];
    for (ssize_t got; (got = read(fd, piece, sizeof piece)) > 0;) answer.append(piece, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

std::string Request(const std::string& method, const std::string& url) {
  return method + " " + url + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
}

TEST(MetricsServerTest, ServesTheRegistryAndNothingElse) {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter().Name("cddp_test_total").Help("a test").Register(*registry).Add({}).Increment(3);
  auto server = *MetricsServer::Start("127.0.0.1:0", registry);
  const std::string answer = Ask(server->address(), Request("GET", "/metrics"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("# TYPE cddp_test_total counter\ncddp_test_total 3"));
  EXPECT_THAT(Ask(server->address(), Request("GET", "/etc/passwd")), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask(server->address(), Request("DELETE", "/metrics")), StartsWith("HTTP/1.1 405"));
}

std::shared_ptr<prometheus::Registry> RegistryWithAMetric() {
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter().Name("cddp_test_total").Register(*registry).Add({});
  return registry;
}

absl::Status Probe(const std::string& address) { return ProbeMetrics(address, "cddp_test_", absl::Seconds(10)); }

TEST(MetricsProbeTest, TellsAPortThatAnswersFromOneThatDoesNot) {
  auto server = *MetricsServer::Start("127.0.0.1:0", RegistryWithAMetric());
  const std::string address = server->address();
  EXPECT_TRUE(Probe(address).ok()) << Probe(address);
  const absl::Status another = ProbeMetrics(address, "cddp_worker_", absl::Seconds(10));
  EXPECT_TRUE(absl::IsUnavailable(another));
  EXPECT_THAT(std::string(another.message()), HasSubstr("another program answers there"));
  server.reset();
  EXPECT_TRUE(absl::IsUnavailable(Probe(address)));
  EXPECT_THAT(std::string(Probe(address).message()), HasSubstr("nothing listens there"));
  EXPECT_TRUE(absl::IsInvalidArgument(Probe("127.0.0.1:0")));
}

TEST(MetricsServerTest, ServesOverIPv6AndUnderNames) {
  const auto registry = RegistryWithAMetric();
  for (const char* listen : {"[::1]:0", "localhost:0"}) {
    const auto server = MetricsServer::Start(listen, registry);
    ASSERT_TRUE(server.ok()) << server.status();
    const absl::Status answers = Probe((*server)->address());
    EXPECT_TRUE(answers.ok()) << listen << ": " << answers;
  }
  const auto both = MetricsServer::Start("[::]:0", registry);
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_TRUE(Probe((*both)->address()).ok());
  EXPECT_THAT(Ask((*both)->address(), Request("GET", "/metrics")), StartsWith("HTTP/1.1 200")) << "over IPv4";
}

TEST(MetricsServerTest, ATakenOrSenselessAddressIsNamed) {
  auto registry = std::make_shared<prometheus::Registry>();
  auto server = *MetricsServer::Start("127.0.0.1:0", registry);
  EXPECT_THAT(std::string(MetricsServer::Start(server->address(), registry).status().message()),
              HasSubstr(server->address()));
  EXPECT_THAT(std::string(MetricsServer::Start(server->address(), registry).status().message()),
              HasSubstr("another process listens"));
  EXPECT_THAT(std::string(MetricsServer::Start("nonsense", registry).status().message()), HasSubstr("has no port"));
  EXPECT_FALSE(MetricsServer::Start("127.0.0.1:70000", registry).ok());
}

}  // namespace
}  // namespace cddp
