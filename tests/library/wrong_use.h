// What the tests of wrong uses of libcddp have in common: each is one clear error, and what could go on does.

#ifndef TESTS_LIBRARY_WRONG_USE_H_
#define TESTS_LIBRARY_WRONG_USE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cddp/cddp.h"
#include "tests/fault/server_process.h"

namespace wrong_use {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The call fails with `code`, and the message has `text`.
#define EXPECT_ERROR(call, code, text)                             \
  do {                                                             \
    EXPECT_EQ(call, code) << cddp_error_message();                 \
    EXPECT_THAT(cddp_error_message(), ::testing::HasSubstr(text)); \
  } while (false)
#define ASSERT_FINE(call) ASSERT_EQ(call, CDDP_OK) << cddp_error_message()

struct DestroyOptions {
  void operator()(cddp_options* options) const { cddp_options_destroy(options); }
};
struct DestroyClient {
  void operator()(cddp_client* client) const { cddp_destroy(client); }
};
using Options = std::unique_ptr<cddp_options, DestroyOptions>;
using Client = std::unique_ptr<cddp_client, DestroyClient>;

inline Options MakeOptions(const std::vector<std::pair<std::string, std::string>>& values) {
  cddp_options* options = nullptr;
  EXPECT_EQ(cddp_options_create(&options), CDDP_OK);
  for (const auto& [name, value] : values) {
    EXPECT_EQ(cddp_options_set(options, name.c_str(), value.c_str()), CDDP_OK) << cddp_error_message();
  }
  return Options(options);
}

// Two tensors, apart from each other.
struct Model {
  std::vector<float> weights = {1, 2, 3, 4};
  float bias = 0.5;
  std::vector<int64_t> shape = {4};
  std::vector<cddp_tensor> tensors = {{sizeof(cddp_tensor), 0, 0, 1, shape.data(), "weights", weights.data()},
                                      {sizeof(cddp_tensor), 0, 0, 0, nullptr, "bias", &bias}};
};

class WrongUseTest : public ::testing::Test {
 protected:
  static constexpr char kRun[] = "a-run";
  const std::string& address(std::vector<std::string> flags = {}) {
    if (server_ == nullptr) {
      if (flags.empty()) flags = {"--lr=1", "--momentum=0"};
      flags.insert(flags.end(), {"--workers=1", std::string("--run=") + kRun});
      server_ = std::make_unique<cddp::ServerProcess>(flags);
    }
    return server_->address();
  }
  Options OptionsOf(std::vector<std::pair<std::string, std::string>> values = {}) {
    // One that knows the run takes the place of one that has not left.
    values.insert(values.begin(), {{"servers", address()}, {"run", kRun}});
    return MakeOptions(values);
  }
  Client Join(const Options& options, Model& model) {
    cddp_client* client = nullptr;
    EXPECT_EQ(cddp_join(options.get(), model.tensors.data(), model.tensors.size(), nullptr, &client), CDDP_OK)
        << cddp_error_message();
    return Client(client);
  }
  Client Start(Model& model, std::vector<std::pair<std::string, std::string>> values = {}) {
    Client client = Join(OptionsOf(std::move(values)), model);
    EXPECT_EQ(cddp_start(client.get()), CDDP_OK) << cddp_error_message();
    return client;
  }
  cddp_code JoinCode(const Options& options, Model& model) {
    cddp_client* client = nullptr;
    const cddp_code code = cddp_join(options.get(), model.tensors.data(), model.tensors.size(), nullptr, &client);
    cddp_destroy(client);
    return code;
  }

  std::unique_ptr<cddp::ServerProcess> server_;
};

}  // namespace wrong_use

#endif  // TESTS_LIBRARY_WRONG_USE_H_
