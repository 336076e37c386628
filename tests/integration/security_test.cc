// The lock of the door: who is refused, that it is counted, that it changes nothing; and that certificates and tokens
// may be replaced while calls go on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "cddp/v1/parameter_server.grpc.pb.h"
#include "common/transport/channel.h"
#include "common/transport/healthcheck.h"
#include "common/transport/status.h"
#include "tests/integration/local_cluster.h"
#include "tests/support/temp_folder.h"
#include "worker/buckets/host_buckets.h"
#include "worker/cluster/rank_claim.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

constexpr char kWorkerToken[] = "worker-token-0123456789";
constexpr char kOperatorToken[] = "operator-token-0123456789";

class SecurityTest : public ::testing::Test {
 protected:
  void MakeCertificates() {
    ASSERT_EQ(std::system(absl::StrCat("tests/integration/certificates ", folder_.string()).c_str()), 0);
  }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  SecurityOptions Tls(const std::string& who, const std::string& ca = "ca.pem") const {
    return {Path(who + "/cert.pem"), Path(who + "/key.pem"), Path(ca), ""};
  }
  SecurityOptions Token(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return {"", "", "", Path(name)};
  }

  void StartServer(const SecurityOptions& security) {
    ServerOptions options;
    options.security = security;
    options.metrics_listen = "";
    options.health_listen = "127.0.0.1:0";
    options.max_connection_age = max_connection_age_;
    options.shard.publish.ratio = 1;
    options.shard.worker_count = workers_;
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::unique_ptr<v1::ParameterServer::Stub> Stub(const SecurityOptions& security) {
    absl::StatusOr<std::shared_ptr<const ClientSecurity>> client = ClientSecurity::Create(security);
    EXPECT_TRUE(client.ok()) << client.status();
    return v1::ParameterServer::NewStub(CreateChannel(server_->address(), client->get()));
  }

  grpc::Status Status(const SecurityOptions& security) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    v1::StatusResponse response;
    return Stub(security)->Status(&context, {}, &response);
  }

  grpc::Status Heartbeat(v1::ParameterServer::Stub& stub) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    v1::HeartbeatResponse response;
    return stub.Heartbeat(&context, {}, &response);
  }

  // Joining is what changes a server's state. `patience`: kShort where nobody is going to answer.
  static constexpr absl::Duration kShort = absl::Milliseconds(300);
  absl::Status Join(const SecurityOptions& security, uint32_t rank = 0, absl::Duration patience = absl::Seconds(30)) {
    GrpcClusterOptions options;
    options.rank = rank;
    options.worker_count = workers_;
    options.security = *ClientSecurity::Create(security);
    options.addresses = {server_->address()};
    options.server_timeout = patience;
    return GrpcCluster::Join(options, *ParameterLayout::Create({{"w", {64}}}, 64)).status();
  }
  bool Untouched() { return server_->shard().status().members.empty(); }

  uint64_t Refused(Refusal why) const { return server_->refusals().count(why); }

  const TempFolder folder_;
  absl::Duration max_connection_age_ = absl::Hours(1);
  uint32_t workers_ = 1;
  std::unique_ptr<Server> server_;
};

TEST_F(SecurityTest, OnlyCertificatesOfOurCaGetIn) {
  MakeCertificates();
  StartServer(Tls("server"));
  struct Case {
    SecurityOptions who;
    Refusal why;
  };
  const Case cases[] = {
      {{"", "", Path("ca.pem"), ""}, Refusal::kNoCertificate},
      {Tls("stranger"), Refusal::kBadCertificate},
      {Tls("expired"), Refusal::kBadCertificate},
      {{}, Refusal::kHandshake},  // plaintext
  };
  for (const Case& bad : cases) {
    const uint64_t before = Refused(bad.why);
    EXPECT_TRUE(absl::IsUnavailable(Join(bad.who, 0, kShort))) << RefusalName(bad.why);
    EXPECT_GT(Refused(bad.why), before) << RefusalName(bad.why);
  }
  EXPECT_TRUE(Untouched());
  EXPECT_TRUE(Join(Tls("worker")).ok()) << Join(Tls("worker"));
  EXPECT_FALSE(Untouched());
}

TEST_F(SecurityTest, ClientsBelieveOnlyServersOfTheirCa) {
  MakeCertificates();
  StartServer(Tls("server"));
  EXPECT_TRUE(absl::IsUnavailable(Join(Tls("worker", "other.pem"), 0, kShort)));
  StartServer(Tls("worker"));  // of our CA, and with another name than the address that we call
  EXPECT_TRUE(absl::IsUnavailable(Join(Tls("worker"), 0, kShort)));
  EXPECT_TRUE(Untouched());
}

TEST_F(SecurityTest, TheCertificateTellsTheRole) {
  MakeCertificates();
  StartServer(Tls("server"));
  EXPECT_TRUE(absl::IsPermissionDenied(Join(Tls("operator"))));
  EXPECT_EQ(Refused(Refusal::kWrongRole), 1);
  EXPECT_TRUE(absl::IsUnauthenticated(Join(Tls("nobody"))));
  EXPECT_TRUE(absl::IsUnauthenticated(Join(Tls("both"))));
  EXPECT_EQ(Refused(Refusal::kNoRole), 2);
  EXPECT_EQ(Status(Tls("worker")).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(Untouched());
  EXPECT_TRUE(Status(Tls("operator")).ok());
  EXPECT_TRUE(Join(Tls("worker2")).ok()) << "the role may stand in a URI";
}

TEST_F(SecurityTest, ACertificateOfOneRankActsAsThatRankOnly) {
  MakeCertificates();
  workers_ = 2;
  StartServer(Tls("server"));
  const absl::Status other = Join(Tls("rank1"), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(other)) << other;
  EXPECT_THAT(std::string(other.message()), HasSubstr("is for rank 1"));
  EXPECT_TRUE(absl::IsUnauthenticated(Join(Tls("no_rank"), 0))) << "a rank that cannot be read is no rank";
  EXPECT_TRUE(Untouched());
  ASSERT_TRUE(Join(Tls("rank1"), 1).ok());
  ASSERT_TRUE(Join(Tls("worker"), 0).ok()) << "a certificate without a rank may be any";

  // Nor may it do anything else in the other's name.
  const auto stub = Stub(Tls("rank1"));
  v1::WorkerId zero;
  zero.set_rank(0);
  zero.set_incarnation(UINT64_MAX);
  grpc::ClientContext heartbeat, leave, exchange;
  v1::HeartbeatRequest heartbeat_request;
  *heartbeat_request.mutable_worker() = zero;
  v1::HeartbeatResponse heartbeat_response;
  EXPECT_EQ(stub->Heartbeat(&heartbeat, heartbeat_request, &heartbeat_response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  v1::LeaveRequest leave_request;
  *leave_request.mutable_worker() = zero;
  v1::LeaveResponse leave_response;
  EXPECT_EQ(stub->Leave(&leave, leave_request, &leave_response).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  v1::ExchangeRequest exchange_request;
  *exchange_request.mutable_worker() = zero;
  exchange_request.add_pushes();
  v1::ExchangeResponse exchange_response;
  EXPECT_EQ(stub->Exchange(&exchange, exchange_request, &exchange_response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(Refused(Refusal::kWrongRank), 4u);
}

TEST_F(SecurityTest, TheEndOfTheCertificatesIsAMetric) {
  MakeCertificates();
  const auto expiry = [&](const std::string& file) {
    for (const prometheus::MetricFamily& family : server_->metrics().Collect()) {
      if (family.name != "cddp_server_certificate_expiry_timestamp_seconds") continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        for (const auto& label : metric.label) {
          if (label.name == "file" && label.value == file) return absl::FromUnixSeconds(metric.gauge.value);
        }
      }
    }
    return absl::InfinitePast();
  };
  StartServer({});
  EXPECT_EQ(expiry("certificate"), absl::UnixEpoch()) << "there, and zero";
  std::filesystem::create_directory_symlink(folder_ / "server", folder_ / "current");
  StartServer(Tls("current"));
  EXPECT_EQ(expiry("certificate"), absl::FromCivil(absl::CivilDay(2099, 1, 1), absl::UTCTimeZone()));
  EXPECT_LT(expiry("ca"), absl::Now() + absl::Hours(49));
  EXPECT_GT(expiry("ca"), absl::Now() + absl::Hours(47));
  std::filesystem::create_directory_symlink(folder_ / "expired", folder_ / "next");
  std::filesystem::rename(folder_ / "next", folder_ / "current");
  while (expiry("certificate") != absl::FromCivil(absl::CivilDay(2021, 1, 1), absl::UTCTimeZone())) {
    std::this_thread::yield();
  }
}

TEST_F(SecurityTest, OnlyWorkersAskForRanks) {
  StartServer(Token("tokens", absl::StrCat("worker ", kWorkerToken, "\noperator ", kOperatorToken, "\n")));
  const auto claim = [&](const SecurityOptions& security) {
    GrpcClusterOptions options;
    options.security = *ClientSecurity::Create(security);
    options.addresses = {server_->address()};
    options.incarnation = PresentIncarnation();
    return ClaimRank(options).status();
  };
  EXPECT_TRUE(absl::IsPermissionDenied(claim(Token("operator", kOperatorToken))));
  EXPECT_TRUE(claim(Token("worker", kWorkerToken)).ok());
}

TEST_F(SecurityTest, TokensTellTheRole) {
  StartServer(Token("tokens", absl::StrCat("# ours\nworker ", kWorkerToken, "\noperator  ", kOperatorToken, "\n")));
  const std::string almost = absl::StrCat(std::string(kWorkerToken, sizeof kWorkerToken - 2), "X");
  EXPECT_TRUE(absl::IsUnauthenticated(Join({})));
  EXPECT_EQ(Refused(Refusal::kNoToken), 1);
  EXPECT_TRUE(absl::IsUnauthenticated(Join(Token("almost", almost))));
  EXPECT_TRUE(absl::IsUnauthenticated(Join(Token("longer", absl::StrCat(kWorkerToken, "X")))));
  EXPECT_EQ(Refused(Refusal::kBadToken), 2);
  EXPECT_TRUE(absl::IsPermissionDenied(Join(Token("operator", kOperatorToken))));
  EXPECT_EQ(Refused(Refusal::kWrongRole), 1);
  EXPECT_TRUE(Untouched());
  EXPECT_TRUE(Status(Token("operator", kOperatorToken)).ok());
  EXPECT_TRUE(Join(Token("worker", absl::StrCat(kWorkerToken, "\n"))).ok());
}

TEST_F(SecurityTest, TokensAreReadAgainWhenTheyChange) {
  StartServer(Token("tokens", absl::StrCat("worker ", kWorkerToken)));
  const SecurityOptions worker = Token("worker", kWorkerToken);
  const auto stub = Stub(worker);
  const auto known = [&] { return Heartbeat(*stub).error_code() != grpc::StatusCode::UNAUTHENTICATED; };
  EXPECT_TRUE(known());
  Token("tokens", absl::StrCat("worker ", kOperatorToken));
  while (known()) std::this_thread::yield();
  Token("worker", kOperatorToken);
  while (!known()) std::this_thread::yield();
  Token("tokens", "worker short");  // cannot be used: the old ones hold
  EXPECT_TRUE(known());
}

TEST_F(SecurityTest, TheHealthPortNeedsNoCertificate) {
  MakeCertificates();
  StartServer(Tls("server"));
  const auto health = [](const std::string& address) {
    return CheckHealth(address, grpc::InsecureChannelCredentials(), absl::Seconds(20));
  };
  EXPECT_TRUE(health(server_->health_address()).ok()) << health(server_->health_address());
  EXPECT_FALSE(health(server_->address()).ok());
  EXPECT_TRUE(CheckHealth(server_->address(), *MakeProbeCredentials(Tls("server")), absl::Seconds(20)).ok());
  // It answers nothing else.
  grpc::ClientContext context;
  v1::StatusResponse response;
  const auto stub = v1::ParameterServer::NewStub(CreateChannel(server_->health_address()));
  EXPECT_EQ(stub->Status(&context, {}, &response).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(SecurityTest, CertificatesChangeUnderLoadAndNoCallIsLost) {
  MakeCertificates();
  max_connection_age_ = absl::Milliseconds(50);  // so that handshakes go on all the time
  const auto use = [&](const std::string& name) {
    std::filesystem::create_directory_symlink(folder_ / name, folder_ / "next");
    std::filesystem::rename(folder_ / "next", folder_ / "current");
  };
  use("server");
  StartServer(Tls("current"));
  const ParameterLayout layout = *ParameterLayout::Create({{"w", {64}}}, 64);
  GrpcClusterOptions options;
  options.security = *ClientSecurity::Create(Tls("worker"));
  options.addresses = {server_->address()};
  absl::StatusOr<std::unique_ptr<GrpcCluster>> client = GrpcCluster::Join(options, layout);
  ASSERT_TRUE(client.ok()) << client.status();
  absl::StatusOr<std::unique_ptr<GradientExchange>> exchange =
      MakeHostExchange(layout, {CompressorOptions{}, 1, 0}, client->get());
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  std::vector<float> weights(64, 1);
  ASSERT_TRUE((*exchange)->Initialise(absl::MakeSpan(weights), true).ok());

  // The subject of the certificate that new connections are shown.
  const auto shown = [&] {
    grpc::ClientContext context;
    v1::StatusResponse response;
    const grpc::Status status = Stub(Tls("operator"))->Status(&context, {}, &response);
    EXPECT_TRUE(status.ok() || IsRetryable(status)) << status.error_message();
    std::string name;
    for (const grpc::string_ref& part : context.auth_context()->FindPropertyValues("x509_common_name")) {
      name.assign(part.data(), part.size());
    }
    return name;
  };
  std::atomic<bool> enough = false;
  uint64_t steps = 0;
  std::thread training([&] {
    const std::vector<float> gradient(64, 0.01F);
    for (; !enough; ++steps) {
      const absl::StatusOr<StepTraffic> step = (*exchange)->Step(gradient, absl::MakeSpan(weights));
      ASSERT_TRUE(step.ok()) << step.status();
    }
  });
  while (shown() != "server") std::this_thread::yield();  // a call may meet the end of its connection
  use("server2");
  while (shown() != "server2") std::this_thread::yield();
  use("server");
  while (shown() != "server") std::this_thread::yield();
  enough = true;
  training.join();
  EXPECT_EQ(server_->shard().status().min_version, steps + 1) << "each step counted once";
}

TEST_F(SecurityTest, NobodyListensToTheWorldWithAnOpenDoor) {
  MakeCertificates();
  ServerOptions options;
  options.listen = "0.0.0.0:0";
  options.metrics_listen = "";
  const auto start = [&] { return Server::Start(options).status(); };
  EXPECT_THAT(std::string(start().message()), HasSubstr("--insecure"));
  options.security = {Path("server/cert.pem"), Path("server/key.pem"), "", ""};
  EXPECT_THAT(std::string(start().message()), HasSubstr("--insecure")) << "encrypted, but open to anybody";
  options.security.tls_ca_file = Path("ca.pem");
  EXPECT_TRUE(start().ok()) << start();
  options.security = Token("tokens", absl::StrCat("worker ", kWorkerToken));
  EXPECT_TRUE(start().ok()) << start();
  options.security = {};
  options.insecure = true;
  EXPECT_TRUE(start().ok()) << start();
}

TEST_F(SecurityTest, WrongFilesAreNamed) {
  MakeCertificates();
  ServerOptions options;
  options.metrics_listen = "";
  const auto error = [&](const SecurityOptions& security) {
    options.security = security;
    return std::string(Server::Start(options).status().message());
  };
  EXPECT_THAT(error({Path("no"), Path("server/key.pem"), "", ""}), HasSubstr("--tls_cert_file: cannot read"));
  EXPECT_THAT(error({Path("server/cert.pem"), "", "", ""}), HasSubstr("go together"));
  EXPECT_THAT(error({Path("server/cert.pem"), Path("worker/key.pem"), "", ""}), HasSubstr("not the certificate's"));
  EXPECT_THAT(error({"", "", Path("ca.pem"), ""}), HasSubstr("needs --tls_cert_file"));
  EXPECT_THAT(error({Path("server/cert.pem"), Path("server/key.pem"), Path("ca.key"), ""}), HasSubstr("--tls_ca_file"));
  EXPECT_THAT(error(Token("tokens", "king 0123456789abcdef0")), HasSubstr("tokens:1"));
  EXPECT_THAT(error(Token("tokens", "\n")), HasSubstr("no token"));
  EXPECT_FALSE(ClientSecurity::Create(Token("token", "two words-of-some-length")).ok());
  EXPECT_FALSE(ClientSecurity::Create({Path("worker/cert.pem"), Path("worker/key.pem"), "", ""}).ok());
}

}  // namespace
}  // namespace cddp
