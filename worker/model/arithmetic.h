// What decides how a model's passes round: two processes with the same kind of arithmetic get the same gradients from
// the same weights and examples, bit for bit; with others they may not.

#ifndef WORKER_MODEL_ARITHMETIC_H_
#define WORKER_MODEL_ARITHMETIC_H_

#include <string>

#include "worker/model/device.h"

namespace cddp {

// "device=cpu libtorch=1.13.0 vectors=AVX2 processor=GenuineIntel/6/143 threads=1": settings as common/agreement has
// them. `vectors` is what LibTorch uses of the processor (ATEN_CPU_CAPABILITY); its libraries for matrices may use
// more.
std::string ArithmeticKind(const Device& device, int threads);

}  // namespace cddp

#endif  // WORKER_MODEL_ARITHMETIC_H_
