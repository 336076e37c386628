/* A worker in C99: y = w * x + b by least squares over libcddp, as the tests start it.
 *
 *   linear_regression SERVERS WORKERS RANK STEPS PUSH STATE_FILE
 *
 * PUSH is "gradients" or "weights". It goes on from STATE_FILE if that exists, and saves its state there every 10
 * steps. Prints a line a step, and at the end the weights' bits and what the library counted. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cddp/cddp.h"

#define FEATURES 4
#define EXAMPLES 32
#define RATE 0.1f

static void check(cddp_code code, const char* what) {
  if (code == CDDP_OK) return;
  fprintf(stderr, "%s: %s: %s\n", what, cddp_code_name(code), cddp_error_message());
  exit(1);
}

static void print_log(void* context, cddp_log_level level, const char* line) {
  (void)context;
  fprintf(stderr, "%d %s\n", (int)level, line);
}

/* Numbers in [-1, 1) that depend on the arguments alone. */
static float number(unsigned step, unsigned rank, unsigned index) {
  unsigned x = step * 2654435761u + rank * 40503u + index * 2246822519u + 1u;
  x ^= x >> 15;
  x *= 2246822519u;
  x ^= x >> 13;
  return (float)(x % 20000u) / 10000.0f - 1.0f;
}

/* Returns the mean square error of the step's examples, and its gradient. */
static float gradient_of(unsigned step, unsigned rank, const float* weights, float bias, float* gradient,
                         float* slope) {
  static const float kTruth[FEATURES] = {1.0f, -2.0f, 0.5f, 3.0f};
  float loss = 0;
  int i, j;
  memset(gradient, 0, FEATURES * sizeof(float));
  *slope = 0;
  for (i = 0; i < EXAMPLES; ++i) {
    float x[FEATURES], error = bias - 0.25f;
    for (j = 0; j < FEATURES; ++j) {
      x[j] = number(step, rank, (unsigned)(i * FEATURES + j));
      error += (weights[j] - kTruth[j]) * x[j];
    }
    for (j = 0; j < FEATURES; ++j) gradient[j] += 2 * error * x[j] / EXAMPLES;
    *slope += 2 * error / EXAMPLES;
    loss += error * error / EXAMPLES;
  }
  return loss;
}

static int restore(cddp_client* client, const char* path) {
  FILE* file = fopen(path, "rb");
  size_t size;
  void* state;
  if (file == NULL) return 0;
  fseek(file, 0, SEEK_END);
  size = (size_t)ftell(file);
  rewind(file);
  state = malloc(size);
  if (state == NULL || fread(state, 1, size, file) != size) exit(1);
  fclose(file);
  check(cddp_restore(client, state, size), "cddp_restore");
  free(state);
  return 1;
}

static void save(cddp_client* client, const char* path) {
  char temporary[4096];
  size_t size;
  void* state;
  FILE* file;
  check(cddp_state_size(client, &size), "cddp_state_size");
  state = malloc(size);
  check(cddp_save_state(client, state, size, &size), "cddp_save_state");
  snprintf(temporary, sizeof(temporary), "%s.new", path);
  file = fopen(temporary, "wb");
  if (file == NULL || fwrite(state, 1, size, file) != size || fclose(file) != 0) exit(1);
  free(state);
  if (rename(temporary, path) != 0) exit(1);
}

int main(int argc, char** argv) {
  static const int64_t kShape[1] = {FEATURES};
  float weights[FEATURES] = {0}, bias = 0, gradient[FEATURES], slope = 0, loss = 0;
  cddp_tensor tensors[2] = {CDDP_TENSOR_INIT, CDDP_TENSOR_INIT};
  cddp_statistics statistics = CDDP_STATISTICS_INIT;
  cddp_options* options;
  cddp_client* client;
  unsigned rank, steps;
  int i, by_gradients;
  if (argc != 7) return 2;
  rank = (unsigned)atoi(argv[3]);
  steps = (unsigned)atoi(argv[4]);
  by_gradients = strcmp(argv[5], "gradients") == 0;
  for (i = 0; i < FEATURES; ++i) weights[i] = 0.1f * (float)rank; /* rank 0's count */

  cddp_set_log(print_log, NULL, CDDP_INFO);
  check(cddp_options_create(&options), "cddp_options_create");
  check(cddp_options_set(options, "servers", argv[1]), "servers");
  check(cddp_options_set(options, "workers", argv[2]), "workers");
  check(cddp_options_set(options, "rank", argv[3]), "rank");
  check(cddp_options_set(options, "push", argv[5]), "push");
  check(cddp_options_set(options, "run", "linear-regression"), "run"); /* a restarted process takes its rank at once */
  check(cddp_options_set(options, "local_steps", by_gradients ? "1" : "2"), "local_steps");
  check(cddp_options_agree(options, "examples", "32"), "cddp_options_agree");
  tensors[0].name = "weights";
  tensors[0].dimensions = 1;
  tensors[0].shape = kShape;
  tensors[0].data = weights;
  tensors[1].name = "bias"; /* a scalar */
  tensors[1].data = &bias;
  check(cddp_join(options, tensors, 2, NULL, &client), "cddp_join");
  cddp_options_destroy(options);
  if (!restore(client, argv[6])) check(cddp_start(client), "cddp_start");

  for (;;) {
    cddp_step_options step = CDDP_STEP_OPTIONS_INIT;
    cddp_result result = CDDP_RESULT_INIT;
    unsigned number_of_step;
    check(cddp_get_statistics(client, &statistics), "cddp_get_statistics");
    number_of_step =
        by_gradients ? (unsigned)statistics.step : 2 * (unsigned)statistics.step - 1 + (unsigned)statistics.local_steps;
    if (number_of_step > steps) break;
    if (number_of_step % 10 == 0) save(client, argv[6]);
    loss = gradient_of(number_of_step, rank, weights, bias, gradient, &slope);
    step.loss = loss;
    if (by_gradients) {
      check(cddp_begin(client, &step), "cddp_begin");
      check(cddp_ready(client, 1, &slope), "cddp_ready");
      check(cddp_ready(client, 0, gradient), "cddp_ready");
      check(cddp_finish(client, &result), "cddp_finish");
    } else {
      for (i = 0; i < FEATURES; ++i) weights[i] -= RATE * gradient[i];
      bias -= RATE * slope;
      check(cddp_step(client, &step, &result), "cddp_step");
    }
    printf("step %u loss %g\n", number_of_step, (double)loss);
    fflush(stdout);
  }
  printf("bits");
  for (i = 0; i < FEATURES; ++i) printf(" %a", (double)weights[i]);
  printf(" %a\nexchanges %llu\n", (double)bias, (unsigned long long)statistics.exchanges);
  check(cddp_leave(client, 1), "cddp_leave");
  cddp_destroy(client);
  return loss < 0.01f ? 0 : 3;
}
