// A byte-level GPT, small enough for a processor.

#ifndef WORKER_MODEL_GPT_H_
#define WORKER_MODEL_GPT_H_

#include <memory>

#include "worker/model/gpt_options.h"
#include "worker/model/models.h"

namespace cddp {

// Pre-norm layers of causal self-attention and a GELU perceptron of four times the width, learned positions, no
// dropout, a separate output matrix; initial weights as GPT-2's (Radford et al. 2019): normal with deviation 0.02,
// that of a layer's projections back into the residual stream divided by sqrt(2 layers), biases 0. Parameters have
// nanoGPT's names: transformer.wte.weight, ..., transformer.h.0.attn.c_attn.weight, ..., lm_head.weight. forward
// takes int64 [batch, length], length at most the context, and returns logits [batch, length, 256]. `options` must be
// valid.
std::shared_ptr<Classifier> MakeGpt(const GptOptions& options);

}  // namespace cddp

#endif  // WORKER_MODEL_GPT_H_
