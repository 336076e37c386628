#include "common/check/check.h"

#include <gtest/gtest.h>

#include <string>

#include "common/bytes/shared_bytes.h"
#include "common/codec/update_codec.h"
#include "common/codec/update_reader.h"

namespace cddp {
namespace {

TEST(CheckTest, WhatHoldsCostsNoMessage) {
  int made = 0;
  const auto message = [&made] { return ++made; };
  CDDP_CHECK(made == 0) << message();
  EXPECT_EQ(made, 0);
}

TEST(CheckDeathTest, WhatDoesNotHoldEndsTheProcessWithPlaceAndReason) {
  const int held = 3;
  EXPECT_DEATH(CDDP_CHECK(held < 2) << "held is " << held,
               "tests/unit/check/check_test.cc:[0-9]+: CHECK failed: held < 2: held is 3");
}

TEST(CheckDeathTest, APartBeyondTheBytes) {
  const SharedBytes bytes = SharedBytes::Own("0123456789");
  EXPECT_EQ(bytes.Part(8, 2).view(), "89");
  EXPECT_DEATH(bytes.Part(8, 3), "3 bytes from 8 of 10");
  EXPECT_DEATH(bytes.Part(11, 0), "0 bytes from 11 of 10");
}

TEST(CheckDeathTest, AnUpdateReadFromTheMiddle) {
  std::string bytes;
  const uint32_t indices[] = {2, 7};
  float values[] = {1, 2};
  EncodeSparse(indices, absl::MakeSpan(values), 10, IndexEncoding::kGap8, ValueEncoding::kFp32, &bytes);
  const absl::StatusOr<CheckedUpdate> update = CheckedUpdate::Check(bytes, 10);
  ASSERT_TRUE(update.ok()) << update.status();
  UpdateReader reader(*update);
  float target[5] = {};
  EXPECT_DEATH(reader.AddTo(5, 1, absl::MakeSpan(target)), "entry 2 lies before 5");
}

}  // namespace
}  // namespace cddp
