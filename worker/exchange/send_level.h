// The part of a gradient to send and its encodings, which may change from step to step (--ratio=auto).

#ifndef WORKER_EXCHANGE_SEND_LEVEL_H_
#define WORKER_EXCHANGE_SEND_LEVEL_H_

#include "common/codec/encoding.h"

namespace cddp {

struct SendLevel {
  double ratio = 0.01;  // as in CompressorOptions
  ValueEncoding value_encoding = kDefaultValueEncoding;
  IndexEncoding index_encoding = IndexEncoding::kGap8;

  friend bool operator==(const SendLevel&, const SendLevel&) = default;
};

}  // namespace cddp

#endif  // WORKER_EXCHANGE_SEND_LEVEL_H_
