// Networks as people have them: far away, full, or with an environment that means other traffic.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fault/child.h"
#include "tests/fault/server_process.h"
#include "tests/fault/tcp_proxy.h"
#include "tests/integration/small_data_set.h"

namespace cddp {
namespace {

using ::testing::HasSubstr;

class NetworkFieldTest : public ::testing::Test {
 protected:
  NetworkFieldTest() {
    char path[] = "/tmp/cddp_network_test_XXXXXX";
    folder_ = mkdtemp(path);
    WriteSmallDataSet(folder_ / "data");
  }
  ~NetworkFieldTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<ServerProcess> StartServer() const {
    return std::make_unique<ServerProcess>(std::vector<std::string>{"--state_dir=" + (folder_ / "state").string()});
  }

  int Run(const std::string& program, const std::vector<std::string>& flags) {
    std::filesystem::remove(folder_ / "out");
    return Child(program, flags, (folder_ / "out").string(), (folder_ / "out").string()).Wait();
  }
  std::string Output() const { return FileContent((folder_ / "out").string()); }

  // Every program of ours reaches the server at `address`, and a worker trains.
  void ExpectThatAllWorks(const std::string& address) {
    const std::string servers = "--servers=" + address;
    EXPECT_EQ(Run("cddp-worker", {servers, "--data_dir=" + (folder_ / "data").string(), "--model=mlp", "--epochs=1",
                                  "--batch_size=128", "--metrics_listen=", "--server_timeout=20s"}),
              0)
        << Output();
    EXPECT_EQ(Run("cddp", {"status", servers, "--interval=0.05"}), 0) << Output();
    EXPECT_THAT(Output(), HasSubstr("1 of 1 servers answer"));
    EXPECT_EQ(Run("cddp", {"checkpoint", servers, "--export_to=" + (folder_ / "model").string()}), 0) << Output();
    EXPECT_TRUE(std::filesystem::exists(folder_ / "model"));
    EXPECT_EQ(Run("cddp-server", {"--healthcheck=" + address}), 0) << Output();
  }

  std::filesystem::path folder_;
};

TEST_F(NetworkFieldTest, ARoundTripOf300Milliseconds) {
  const auto server = StartServer();
  TcpProxy proxy(server->address(), absl::Milliseconds(150));
  ExpectThatAllWorks(proxy.address());
}

// What a link's queue holds adds to the round trip.
TEST_F(NetworkFieldTest, AFullLink) {
  const auto server = StartServer();
  TcpProxy proxy(server->address(), absl::Seconds(1));
  const std::string servers = "--servers=" + proxy.address();
  EXPECT_EQ(Run("cddp", {"status", servers, "--interval=0.05", "--timeout=15"}), 0) << Output();
  // No worker was here, and the server could say so.
  EXPECT_EQ(Run("cddp", {"checkpoint", servers}), 1);
  EXPECT_THAT(Output(), HasSubstr("no training has begun"));
}

TEST_F(NetworkFieldTest, AnEnvironmentWithProxies) {
  for (const char* name : {"http_proxy", "https_proxy", "grpc_proxy"}) setenv(name, "http://127.0.0.1:9", 1);
  unsetenv("no_proxy");
  unsetenv("no_grpc_proxy");
  const auto server = StartServer();
  ExpectThatAllWorks(server->address());
}

}  // namespace
}  // namespace cddp
