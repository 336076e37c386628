// Assembles protobuf messages around bytes without copying these.

#ifndef COMMON_TRANSPORT_PROTOBUF_FIELD_H_
#define COMMON_TRANSPORT_PROTOBUF_FIELD_H_

#include <google/protobuf/io/coded_stream.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace cddp {

// The tag and length before the bytes of a string, bytes or message field in the protobuf encoding.
inline std::string FieldHead(int field, size_t size) {
  using google::protobuf::io::CodedOutputStream;
  constexpr uint32_t kLengthDelimited = 2;
  uint8_t head[20];
  uint8_t* end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(field) << 3 | kLengthDelimited, head);
  end = CodedOutputStream::WriteVarint64ToArray(size, end);
  return std::string(head, end);
}

}  // namespace cddp

#endif  // COMMON_TRANSPORT_PROTOBUF_FIELD_H_
