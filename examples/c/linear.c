/* Linear regression y = w * x + b by several workers, using only libcddp.
 *
 *   cc linear.c $(pkg-config --cflags --libs cddp) -o linear
 *   cddp run --workers=2 --servers=1 --optimizer_at=servers --lr=0.1 --momentum=0 -- ./linear */

#include <cddp/cddp.h>
#include <stdio.h>
#include <stdlib.h>

static void check(cddp_code code) {
  if (code == CDDP_OK) return;
  fprintf(stderr, "%s\n", cddp_error_message());
  exit(1);
}

int main(void) {
  float w = 0, b = 0;
  cddp_tensor tensors[2] = {CDDP_TENSOR_INIT, CDDP_TENSOR_INIT};
  cddp_statistics statistics = CDDP_STATISTICS_INIT;
  cddp_options* options;
  cddp_client* client;
  int step;
  tensors[0].name = "w";
  tensors[0].data = &w;
  tensors[1].name = "b";
  tensors[1].data = &b;
  check(cddp_options_create(&options));
  check(cddp_options_read_environment(options)); /* CDDP_SERVERS, RANK, WORLD_SIZE: as `cddp run` sets them */
  check(cddp_join(options, tensors, 2, NULL, &client));
  check(cddp_start(client));
  check(cddp_get_statistics(client, &statistics));
  srand(statistics.rank + 1); /* every worker has its own data */
  for (step = 0; step < 200; ++step) {
    float x = (float)rand() / (float)RAND_MAX, error = w * x + b - (2 * x + 1);
    float gradient_w = 2 * error * x, gradient_b = 2 * error;
    check(cddp_begin(client, NULL));
    check(cddp_ready(client, 1, &gradient_b));
    check(cddp_ready(client, 0, &gradient_w));
    check(cddp_finish(client, NULL));
  }
  printf("worker %u: y = %.2f x + %.2f\n", (unsigned)statistics.rank, (double)w, (double)b);
  check(cddp_leave(client, 1));
  cddp_destroy(client);
  cddp_options_destroy(options);
  return 0;
}
