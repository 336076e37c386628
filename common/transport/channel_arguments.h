// Settings of gRPC's transport that clients and servers share.

#ifndef COMMON_TRANSPORT_CHANNEL_ARGUMENTS_H_
#define COMMON_TRANSPORT_CHANNEL_ARGUMENTS_H_

#include <grpc/compression.h>
#include <grpc/grpc.h>

namespace cddp {

struct ChannelArgument {
  const char* name;
  int value;
};

// gRPC's defaults (16 KiB frames, reads of 8 KiB) are made for small messages. With updates of 30 KiB to 4 MiB these
// save system calls and allocations: a tenth of a busy server's time.
inline constexpr ChannelArgument kTransportArguments[] = {
    {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20},
    {GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 1 << 20},
    {GRPC_ARG_TCP_READ_CHUNK_SIZE, 256 << 10},
    {GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, 4 << 20},
    // Updates are compressed already, and gRPC inflates a message before it checks its size: a few KiB could become
    // gigabytes. So nothing is inflated, and a call with another encoding than "identity" is refused.
    {GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0},
    {GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE},
};

}  // namespace cddp

#endif  // COMMON_TRANSPORT_CHANNEL_ARGUMENTS_H_
