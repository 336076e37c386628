#include "worker/data/text_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_folder.h"
#include "worker/data/sampler.h"

namespace cddp {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TextDatasetTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  std::string Refusal(uint32_t context) {
    return std::string(LoadTextDataset(folder_.string(), context, {}).status().message());
  }

  const TempFolder folder_;
};

TEST_F(TextDatasetTest, AFoldersFilesAreOneTextInTheOrderOfTheirNames) {
  Write("b.txt", std::string(50, 'b'));
  Write("a/2.md", std::string(25, '2'));
  Write("a/1.md", std::string(25, '1'));
  Write("a/empty", "");
  Write("a/program", std::string("\x7f"
                                 "ELF\0",
                                 5));
  Write(".git/config", "not for readers");
  fs::create_symlink(folder_ / "b.txt", folder_ / "link");
  const absl::StatusOr<TextDataset> data = LoadTextDataset(folder_.string(), 4, {});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train, std::string(25, '1') + std::string(25, '2') + std::string(40, 'b'));
  EXPECT_EQ(data->validation, std::string(10, 'b'));
  EXPECT_EQ(data->train_windows(), 90u / 4 - 1);
  EXPECT_EQ(data->validation_windows(), 2u);
}

TEST_F(TextDatasetTest, LimitsCountExamples) {
  Write("text", std::string(1000, 'x'));
  const absl::StatusOr<TextDataset> data = LoadTextDataset((folder_ / "text").string(), 10, {7, 2});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train_windows(), 7u);
  EXPECT_EQ(data->validation_windows(), 2u);
}

TEST_F(TextDatasetTest, SaysWhatIsWrong) {
  EXPECT_THAT(LoadTextDataset("/no/such/text", 4, {}).status().message(), HasSubstr("--data=/no/such/text"));
  EXPECT_THAT(Refusal(4), HasSubstr("its 0 bytes of text are too few"));
  Write("text", std::string(100, 'x'));
  EXPECT_THAT(Refusal(10), HasSubstr("too few for --context=10"));
  EXPECT_EQ(Refusal(9), "");
  EXPECT_THAT(Refusal(0), HasSubstr("--context"));
}

// Every epoch's windows lie in the text, do not overlap, and are divided among the workers.
TEST_F(TextDatasetTest, WindowsOfAnEpochAreDisjoint) {
  constexpr uint32_t kContext = 8;
  Write("text", std::string(1000, 'x'));
  const TextDataset data = *LoadTextDataset((folder_ / "text").string(), kContext, {});
  std::set<uint32_t> phases;
  for (uint64_t epoch = 1; epoch <= 20; ++epoch) {
    std::set<uint32_t> begins;
    for (uint32_t rank = 0; rank < 2; ++rank) {
      EpochSampler sampler = *EpochSampler::Create({data.train_windows(), rank, 2, 4, 42, kContext});
      sampler.StartEpoch(epoch);
      for (uint64_t step = 0; step < sampler.steps_per_epoch(); ++step) {
        for (const uint32_t begin : sampler.Batch(step)) {
          EXPECT_LE(begin + kContext + 1, data.train.size());
          EXPECT_EQ(begin % kContext, *sampler.Batch(0).begin() % kContext);
          EXPECT_TRUE(begins.insert(begin).second);
          phases.insert(begin % kContext);
        }
      }
    }
  }
  EXPECT_GT(phases.size(), 4u);
}

}  // namespace
}  // namespace cddp
