// Readers of NumPy's and safetensors' files, and the data set made from them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/codec/byte_io.h"
#include "tests/support/temp_folder.h"
#include "worker/data/array_dataset.h"
#include "worker/data/npy.h"
#include "worker/data/safetensors.h"
#include "worker/data/zip_file.h"

namespace cddp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As NumPy writes it: the header padded to 64 bytes.
std::string Npy(absl::string_view descr, absl::string_view shape, absl::string_view elements,
                absl::string_view order = "False") {
  std::string text = absl::StrCat("{'descr': ", descr, ", 'fortran_order': ", order, ", 'shape': ", shape, ", }");
  text.resize((10 + text.size() + 1 + 63) / 64 * 64 - 11, ' ');
  text += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  ByteWriter(&bytes).Put<uint16_t>(static_cast<uint16_t>(text.size()));
  return absl::StrCat(bytes, text, elements);
}

std::string Floats(std::initializer_list<float> values) {
  std::string bytes;
  for (const float value : values) ByteWriter(&bytes).Put<float>(value);
  return bytes;
}

std::string Deflate(const std::string& content) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(content.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

struct Member {
  std::string name;
  std::string content;
  bool deflated = false;
  uint32_t more = 0;  // than it has, promised by the directory
};

// As Python's zipfile writes it for NumPy: the members' own headers leave the sizes to the directory.
std::string Zip(const std::vector<Member>& members) {
  std::string bytes;
  std::string directory;
  for (const Member& member : members) {
    const std::string packed = member.deflated ? Deflate(member.content) : member.content;
    const auto crc =
        static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(member.content.data()), member.content.size()));
    const auto offset = static_cast<uint32_t>(bytes.size());
    const uint16_t method = member.deflated ? 8 : 0;
    ByteWriter own(&bytes);
    own.Put<uint32_t>(0x04034b50);
    for (const uint16_t field : {uint16_t{45}, uint16_t{0}, method, uint16_t{0}, uint16_t{0}}) own.Put(field);
    for (const uint32_t field : {crc, UINT32_MAX, UINT32_MAX}) own.Put(field);
    own.Put(static_cast<uint16_t>(member.name.size()));
    own.Put<uint16_t>(20);
    bytes += member.name;
    bytes.append(20, '\0');
    bytes += packed;
    ByteWriter entry(&directory);
    entry.Put<uint32_t>(0x02014b50);
    for (const uint16_t field : {uint16_t{45}, uint16_t{45}, uint16_t{0}, method, uint16_t{0}, uint16_t{0}}) {
      entry.Put(field);
    }
    entry.Put(crc);
    entry.Put(static_cast<uint32_t>(packed.size()));
    entry.Put(static_cast<uint32_t>(member.content.size() + member.more));
    entry.Put(static_cast<uint16_t>(member.name.size()));
    for (int i = 0; i < 4; ++i) entry.Put<uint16_t>(0);
    entry.Put<uint32_t>(0);
    entry.Put(offset);
    directory += member.name;
  }
  const auto at = static_cast<uint32_t>(bytes.size());
  bytes += directory;
  ByteWriter end(&bytes);
  end.Put<uint32_t>(0x06054b50);
  end.Put<uint32_t>(0);
  end.Put(static_cast<uint16_t>(members.size()));
  end.Put(static_cast<uint16_t>(members.size()));
  end.Put(static_cast<uint32_t>(directory.size()));
  end.Put(at);
  end.Put<uint16_t>(0);
  return bytes;
}

std::string Safetensors(absl::string_view header, absl::string_view data) {
  std::string bytes;
  ByteWriter(&bytes).Put<uint64_t>(header.size());
  return absl::StrCat(bytes, header, data);
}

TEST(NpyTest, ReadsTypeShapeAndElements) {
  const absl::StatusOr<Array> array = ParseNpy(Npy("'<f4'", "(2, 1)", Floats({1.5, -2})));
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(Describe(*array), "float32 [2, 1]");
  EXPECT_EQ(array->bytes, Floats({1.5, -2}));
  EXPECT_EQ(array->item_bytes(), 4u);
  EXPECT_EQ(Describe(*ParseNpy(Npy("'|u1'", "(3,)", "abc", "True"))), "uint8 [3]");
  EXPECT_EQ(Describe(*ParseNpy(Npy("'<i8'", "()", std::string(8, 'x')))), "int64 []");
  EXPECT_EQ(Describe(*ParseNpy(Npy("'<f2'", "(0, 7)", ""))), "float16 [0, 7]");
}

TEST(NpyTest, RefusesEveryTruncationAndEveryExtraByte) {
  const std::string good = Npy("'<f4'", "(2, 1)", Floats({1.5, -2}));
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(ParseNpy(good.substr(0, size)).ok()) << size;
  EXPECT_THAT(ParseNpy(good.substr(0, good.size() - 1)).status().message(),
              HasSubstr("promises float32 [2, 1], 8 bytes; it has 7 bytes of elements"));
  EXPECT_FALSE(ParseNpy(good + "x").ok());
}

TEST(NpyTest, SaysWhatIsNotRead) {
  EXPECT_THAT(ParseNpy(Npy("'>f4'", "(1,)", "abcd")).status().message(), HasSubstr("(>f4) are big-endian"));
  EXPECT_THAT(ParseNpy(Npy("'|O'", "(1,)", "abcd")).status().message(), HasSubstr("are Python objects"));
  EXPECT_THAT(ParseNpy(Npy("[('a', '<f4')]", "(1,)", "abcd")).status().message(), HasSubstr("are records"));
  EXPECT_THAT(ParseNpy(Npy("'<c8'", "(1,)", "abcdefgh")).status().message(), HasSubstr("a type that is not read here"));
  EXPECT_THAT(ParseNpy(Npy("'<f4'", "(1, 1)", "abcd", "True")).status().message(), HasSubstr("Fortran order"));
  EXPECT_THAT(ParseNpy(Npy("'<f4'", "(4611686018427387904, 4611686018427387904, 0)", "x")).status().message(),
              HasSubstr("header promises"));
  EXPECT_THAT(ParseNpy(Npy("'<f4'", "(-1,)", "abcd")).status().message(), HasSubstr("header is damaged"));
  EXPECT_THAT(ParseNpy("PK\x03\x04 an archive").status().message(), HasSubstr("not a .npy file"));
}

TEST(SafetensorsTest, ReadsArraysAndRefusesWhatDoesNotFit) {
  const std::string header = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string good = Safetensors(header, Floats({1, 2}));
  const auto arrays = ParseSafetensors(good);
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  ASSERT_EQ(arrays->size(), 1u);
  EXPECT_EQ(Describe(arrays->at("a")), "float32 [2]");
  EXPECT_EQ(arrays->at("a").bytes, Floats({1, 2}));
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(ParseSafetensors(good.substr(0, size)).ok()) << size;

  const auto error = [](const std::string& entry) {
    return std::string(
        ParseSafetensors(Safetensors(absl::StrCat("{\"a\":", entry, "}"), "12345678")).status().message());
  };
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
              HasSubstr("promises float32 [3] in 8 bytes"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"), HasSubstr("behind the file's end"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), HasSubstr("behind the file's end"));
  EXPECT_THAT(error(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})"), HasSubstr("F8_E4M3 are not read"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), HasSubstr("damaged"));
  EXPECT_THAT(error("7"), HasSubstr("damaged"));
}

class ArraysTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_.File(name);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    return path;
  }
  std::string ErrorOf(const std::vector<Member>& members) {
    return std::string(LoadArrayDataset(Write("data.npz", Zip(members)), {}).status().message());
  }

  const TempFolder folder_;
  const std::string inputs_ = Npy("'<f4'", "(4, 1)", Floats({1, 2, 3, 4}));
  const std::string targets_ = Npy("'|u1'", "(4,)", "\x01\x02\x03\x04");
};

TEST_F(ArraysTest, AZipsMembersAreReadStoredAndDeflated) {
  const std::string large(100000, 'x');
  const std::string path = Write("a.zip", Zip({{"small", "abc"}, {"large", large, true}, {"empty", ""}}));
  absl::StatusOr<ZipFile> zip = ZipFile::Open(path);
  ASSERT_TRUE(zip.ok()) << zip.status();
  EXPECT_THAT(zip->names(), ElementsAre("empty", "large", "small"));
  EXPECT_EQ(*zip->Read("small"), "abc");
  EXPECT_EQ(*zip->Read("large"), large);
  EXPECT_EQ(*zip->Read("empty"), "");
  EXPECT_EQ(zip->Read("other").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ArraysTest, AZipThatIsDamagedIsRefused) {
  const std::string good = Zip({{"small", "abc"}, {"large", std::string(1000, 'x'), true}});
  const auto read_all = [&](const std::string& bytes) -> absl::Status {
    absl::StatusOr<ZipFile> zip = ZipFile::Open(Write("a.zip", bytes));
    if (!zip.ok()) return zip.status();
    for (const char* name : {"small", "large"}) {
      if (const absl::StatusOr<std::string> content = zip->Read(name); !content.ok()) return content.status();
    }
    return absl::OkStatus();
  };
  EXPECT_TRUE(read_all(good).ok());
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(read_all(good.substr(0, size)).ok()) << size;
  // No flip crashes, and none of a content passes.
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 0x10;
    const absl::Status status = read_all(bad);
    if (bad.substr(55, 3) != "abc") {
      EXPECT_FALSE(status.ok()) << i;
    }
  }
  EXPECT_THAT(read_all(Zip({{"small", "a", true, 1u << 30}})).message(), HasSubstr("more than its bytes can hold"));
  EXPECT_THAT(read_all(Zip({{"small", "abc"}, {"small", "abc"}})).message(), HasSubstr("twice"));
}

TEST_F(ArraysTest, EveryKindOfFileGivesTheSame) {
  const auto check = [&](const std::string& path) {
    const absl::StatusOr<ArrayDataset> data = LoadArrayDataset(path, {});
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_EQ(Describe(data->train_inputs), "float32 [4, 1]");
    EXPECT_EQ(Describe(data->test_targets), "uint8 [4]");
    EXPECT_EQ(Checksum(*data), Checksum(*LoadArrayDataset(folder_.string(), {})));
  };
  for (const char* name : {"x_train", "x_test"}) Write(absl::StrCat(name, ".npy"), inputs_);
  for (const char* name : {"y_train", "y_test"}) Write(absl::StrCat(name, ".npy"), targets_);
  check(folder_.string());
  for (const bool deflated : {false, true}) {
    check(Write("data.npz", Zip({{"x_train.npy", inputs_, deflated},
                                 {"y_train.npy", targets_, deflated},
                                 {"x_test.npy", inputs_, deflated},
                                 {"y_test.npy", targets_, deflated},
                                 {"other.npy", "rubbish"}})));
  }
  std::string header = "{";
  for (const char* part : {"train", "test"}) {
    absl::StrAppend(&header, header == "{" ? "" : ",", "\"x_", part,
                    R"(":{"dtype":"F32","shape":[4,1],"data_offsets":[0,16]},"y_)", part,
                    R"(":{"dtype":"U8","shape":[4],"data_offsets":[16,20]})");
  }
  check(Write("data.safetensors", Safetensors(header + "}", Floats({1, 2, 3, 4}) + "\x01\x02\x03\x04")));
}

TEST_F(ArraysTest, WithoutTestArraysTheLastTenthIsForTesting) {
  Write("x_train.npy", inputs_);
  Write("y_train.npy", targets_);
  const absl::StatusOr<ArrayDataset> data = LoadArrayDataset(folder_.string(), {2, 0});
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->train_targets.bytes, "\x01\x02");
  EXPECT_EQ(data->test_inputs.bytes, Floats({4}));
  EXPECT_EQ(data->test_targets.bytes, "\x04");
}

TEST_F(ArraysTest, TheChecksumIsOfTypeShapeAndElements) {
  const auto checksum = [&](const std::string& inputs) {
    Write("x_train.npy", inputs);
    Write("y_train.npy", targets_);
    return Checksum(*LoadArrayDataset(folder_.string(), {}));
  };
  const uint32_t own = checksum(inputs_);
  EXPECT_NE(own, checksum(Npy("'<f4'", "(4, 1)", Floats({1, 2, 5, 4}))));
  EXPECT_NE(own, checksum(Npy("'<f4'", "(4, 1, 1)", Floats({1, 2, 3, 4}))));
  EXPECT_NE(own, checksum(Npy("'<i4'", "(4, 1)", Floats({1, 2, 3, 4}))));
}

TEST_F(ArraysTest, ErrorsNameFileArrayAndReason) {
  EXPECT_THAT(ErrorOf({}),
              HasSubstr("data.npz: the arrays x_train and y_train must be there, and x_test and y_test may "
                        "be; there is none"));
  EXPECT_THAT(ErrorOf({{"x.npy", inputs_}, {"x_train.npy", inputs_}}), HasSubstr("there are x, x_train"));
  EXPECT_THAT(ErrorOf({{"x_train.npy", "rubbish"}}), HasSubstr("data.npz: x_train: it is not a .npy file"));
  EXPECT_THAT(ErrorOf({{"x_train.npy", inputs_}, {"y_train.npy", targets_}, {"x_test.npy", inputs_}}),
              HasSubstr("of x_test and y_test only one is there"));
  EXPECT_THAT(ErrorOf({{"x_train.npy", inputs_}, {"y_train.npy", Npy("'|u1'", "(3,)", "abc")}}),
              HasSubstr("x_train has 4 examples, y_train has 3: x is float32 [4, 1], y is uint8 [3]"));
  EXPECT_THAT(ErrorOf({{"x_train.npy", Npy("'<f4'", "(0, 1)", "")}, {"y_train.npy", targets_}}),
              HasSubstr("x_train is float32 [0, 1]: it must have one example or more"));
  EXPECT_THAT(
      ErrorOf({{"x_train.npy", Npy("'<f4'", "(4, 1)", Floats({1, 2, 0.0f / 0.0f, 4}))}, {"y_train.npy", targets_}}),
      HasSubstr("x_train has a NaN or an infinity in example 2"));
  EXPECT_THAT(ErrorOf({{"x_train.npy", inputs_},
                       {"y_train.npy", targets_},
                       {"x_test.npy", Npy("'<f4'", "(2, 2)", Floats({1, 2, 3, 4}))},
                       {"y_test.npy", Npy("'|u1'", "(2,)", "ab")}}),
              HasSubstr("x_train is float32 [4, 1], x_test float32 [2, 2]: they must be alike"));
  EXPECT_THAT(LoadArrayDataset(Write("data.h5", "x"), {}).status().message(), HasSubstr("of no known kind"));
  EXPECT_EQ(LoadArrayDataset(folder_.File("none"), {}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace cddp
