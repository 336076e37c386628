// The kind of arithmetic that determines how a model's passes round: two processes of the same kind get the same
// gradients from the same weights and examples, bit for bit; those of different kinds may not.

#ifndef WORKER_MODEL_ARITHMETIC_H_
#define WORKER_MODEL_ARITHMETIC_H_

#include <string>

#include "worker/model/device.h"

namespace cddp {

// "device=cpu libtorch=1.13.0 vectors=AVX2 processor=GenuineIntel/6/143 threads=1": settings in the form of
// common/agreement. `vectors` is the processor capability that LibTorch uses (ATEN_CPU_CAPABILITY); its matrix
// libraries may use more.
std::string ArithmeticKind(const Device& device, int threads);

}  // namespace cddp

#endif  // WORKER_MODEL_ARITHMETIC_H_
