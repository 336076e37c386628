/* Compressed-DDP for any program: a training's servers as a C library.
 *
 * A program owns its model's tensors, computes gradients or steps its own optimizer, and calls this library to exchange
 * them with the other workers through parameter servers (cddp-server). Only the largest entries travel; the rest is
 * kept in a residual and sent later.
 *
 *   cddp_options* options; cddp_client* client;
 *   cddp_options_create(&options);
 *   cddp_options_set(options, "servers", "host1:50051,host2:50051");
 *   cddp_options_set(options, "workers", "4"); cddp_options_set(options, "rank", "0");
 *   cddp_join(options, tensors, tensor_count, NULL, &client);
 *   cddp_start(client);                               // all workers hold rank 0's weights from here on
 *   for each step: compute the loss, then
 *     cddp_begin(client, NULL);
 *     for each tensor, last first, as the backward pass completes it: cddp_ready(client, tensor, gradient);
 *     cddp_finish(client, NULL);                      // the weights are the new ones
 *   cddp_leave(client, 1); cddp_destroy(client); cddp_options_destroy(options);
 *
 * Two ways of use, by the option "push", the same at all workers:
 *   "gradients"  gradients are pushed while the backward pass runs, and the servers' optimizer makes the steps:
 *                cddp_begin, cddp_ready of every tensor, cddp_finish.
 *   "weights"    the program's own optimizer makes the steps. Every "local_steps" of them, cddp_step pushes what they
 *                have moved, and the servers average (start them with --optimizer=sgd --lr=1 --momentum=0).
 *                With "local_steps" "auto" all workers together decide how many, as few as the network hides. With
 *                "overlap" K the exchange goes on beside the first K steps of the next round.
 *
 * Errors. Functions return a cddp_code, 0 for success. cddp_error_message() then says what is wrong and what to do.
 * After an invalid argument nothing has changed. After an error of the servers or the network in a step
 * (CDDP_UNAVAILABLE and others from cddp_finish or cddp_step) the client cannot be used any more: leave or destroy it,
 * and continue from a saved state or as a new client.
 *
 * Threads. A client's functions may be called from any thread, but one at a time, except that cddp_ready, cddp_wait,
 * cddp_cancel and cddp_get_statistics may be called by several threads at once. Options belong to one thread at a
 * time. Different clients are independent.
 *
 * Processes. After fork() the child cannot use a client of the parent: calls fail with CDDP_FAILED_PRECONDITION, and
 * cddp_destroy frees nothing. A child whose parent had joined cannot join either: fork first, or exec.
 *
 * The host. The library starts threads of its own. It changes no signal handlers, no locale, no environment variables
 * and no floating-point mode of the program's threads, and prints nothing itself (see cddp_set_log). gRPC prints its
 * own errors to standard error; the environment variable GRPC_VERBOSITY controls that.
 *
 * Structs begin with their size, so that a library of a later version knows what a program was compiled with. Fill them
 * with their initialiser (CDDP_TENSOR_INIT, ...), or with zeros and the size: a member of zero stands for its default.
 */

#ifndef CDDP_CDDP_H_
#define CDDP_CDDP_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CDDP_API __attribute__((visibility("default")))
#else
#define CDDP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What this header describes. A library with the same major number has all of it. */
#define CDDP_VERSION_MAJOR 1
#define CDDP_VERSION_MINOR 1

/* The library's version, major * 1000 + minor. */
CDDP_API uint32_t cddp_version(void);

/* ---- Errors ---- */

/* The numbers are those of gRPC's status codes. */
typedef enum cddp_code {
  CDDP_OK = 0,
  CDDP_CANCELLED = 1, /* cddp_cancel */
  CDDP_UNKNOWN = 2,
  CDDP_INVALID_ARGUMENT = 3, /* an argument, option or tensor is wrong, or not what the servers have */
  CDDP_DEADLINE_EXCEEDED = 4,
  CDDP_NOT_FOUND = 5,           /* no such option; no such file */
  CDDP_ALREADY_EXISTS = 6,      /* the tensors, or the rank, belong to another client of this process */
  CDDP_PERMISSION_DENIED = 7,   /* the servers want another token or certificate */
  CDDP_RESOURCE_EXHAUSTED = 8,  /* memory, or a buffer that is too small */
  CDDP_FAILED_PRECONDITION = 9, /* a call out of order; a rank taken over; servers that have lost their state */
  CDDP_ABORTED = 10,
  CDDP_OUT_OF_RANGE = 11,
  CDDP_UNIMPLEMENTED = 12, /* not in this build or version */
  CDDP_INTERNAL = 13,
  CDDP_UNAVAILABLE = 14, /* servers are out of reach, longer than "server_timeout" */
  CDDP_DATA_LOSS = 15,   /* a saved state, or what came over the network, is damaged */
  CDDP_UNAUTHENTICATED = 16
} cddp_code;

/* One line about this thread's last failed call: what is wrong and what to do. Never NULL. The text is valid until
 * this thread's next failed call. */
CDDP_API const char* cddp_error_message(void);

/* "INVALID_ARGUMENT" and so on. */
CDDP_API const char* cddp_code_name(cddp_code code);

/* ---- Log ---- */

typedef enum cddp_log_level { CDDP_DEBUG = 0, CDDP_INFO = 1, CDDP_WARNING = 2, CDDP_ERROR = 3 } cddp_log_level;

/* `line` is "event=waiting_for_server server=... reason=\"...\"", without a line's end, valid during the call. */
typedef void (*cddp_log_callback)(void* context, cddp_log_level level, const char* line);

/* Gives the log lines of all clients of this process, of level `least` and above, to `callback`; NULL, the default,
 * discards them. The callback runs on any thread, one call at a time, and must not call this library. Once this
 * function has returned, the previous callback is not called any more. */
CDDP_API void cddp_set_log(cddp_log_callback callback, void* context, cddp_log_level least);

/* ---- Options ---- */

/* Settings by the names of cddp-worker's flags, without the dashes: "servers", "rank", "workers", "ratio", ... */
typedef struct cddp_options cddp_options;

CDDP_API cddp_code cddp_options_create(cddp_options** options);
CDDP_API void cddp_options_destroy(cddp_options* options); /* NULL is fine */

/* CDDP_NOT_FOUND for a name that is unknown, with the one that was probably meant; CDDP_INVALID_ARGUMENT for a value
 * that is not understood. Options that contradict each other are found by cddp_join. */
CDDP_API cddp_code cddp_options_set(cddp_options* options, const char* name, const char* value);

/* The value as text. Writes at most `capacity` bytes with the final zero to `value`; *length (may be NULL) is the
 * text's length without it. CDDP_RESOURCE_EXHAUSTED, with *length set, if the text does not fit. */
CDDP_API cddp_code cddp_options_get(const cddp_options* options, const char* name, char* value, size_t capacity,
                                    size_t* length);

/* Something of the program's own that all workers must have alike ("batch_size", "32"; a checksum of the data): the
 * servers refuse a worker with another value, naming it. Neither text may hold spaces or '='. */
CDDP_API cddp_code cddp_options_agree(cddp_options* options, const char* name, const char* value);

/* Sets what the environment names: CDDP_SERVERS, CDDP_RANK or RANK, CDDP_WORKERS or WORLD_SIZE, and CDDP_<NAME> for
 * every other option (CDDP_RATIO=0.05). CDDP_INVALID_ARGUMENT names the variable whose value is not understood. */
CDDP_API cddp_code cddp_options_read_environment(cddp_options* options);

/* Name and one line of help of every option; NULL from the number of options on. The texts are static. */
CDDP_API const char* cddp_option_name(size_t index);
CDDP_API const char* cddp_option_help(size_t index);

/* ---- Tensors ---- */

typedef enum cddp_tensor_kind {
  CDDP_PARAMETER = 0,
  CDDP_BUFFER = 1, /* changed by the forward pass (running statistics), without a gradient. Every exchange averages it
                      over the workers, with either value of "push". It is complete when a step begins */
  CDDP_COUNTER = 2 /* one CDDP_INT64 in the host's memory that counts this worker's own steps (num_batches_tracked). It
                      is saved and restored, exported with the model by name, and never exchanged. A worker that joins
                      later gets the training's number of steps */
} cddp_tensor_kind;

typedef enum cddp_element_type { CDDP_FLOAT32 = 0, CDDP_INT64 = 1 } cddp_element_type; /* counters are int64 */

/* One tensor of the model, in C order without gaps. Tensors need not lie next to each other; where all parameters do,
 * in order, and gradients are pushed, new weights are written to them at once, without a copy. A tensor without
 * elements takes no part. */
typedef struct cddp_tensor {
  uint32_t struct_size; /* sizeof(cddp_tensor), alike in an array */
  uint32_t kind;        /* cddp_tensor_kind */
  uint32_t type;        /* cddp_element_type */
  uint32_t dimensions;  /* 0: a scalar */
  const int64_t* shape; /* `dimensions` extents */
  const char* name;     /* unique in the model, and the same at all workers */
  void* data;           /* the weights: valid and at this address until the client is destroyed */
} cddp_tensor;
#define CDDP_TENSOR_INIT \
  { sizeof(cddp_tensor), CDDP_PARAMETER, CDDP_FLOAT32, 0, NULL, NULL, NULL }

typedef enum cddp_memory_kind { CDDP_HOST = 0, CDDP_CUDA = 1 } cddp_memory_kind;

/* The memory that holds the tensors, except counters, and the gradients. On a GPU with "gradients", let the tensors lie
 * next to each other, in order, and give the gradients as one array (cddp_step_options): then they are compressed on
 * the GPU, and the host never waits for the stream in a step. Otherwise, and with options that the GPU does not support
 * ("ratio" 1; the log says so), the elements are copied to the host and back, and cddp_ready waits for the stream. */
typedef struct cddp_memory {
  uint32_t struct_size;
  uint32_t kind;   /* cddp_memory_kind; cddp_join: CDDP_UNIMPLEMENTED if this build lacks it */
  int32_t device;  /* CUDA: the device's index */
  uint32_t unused; /* 0 */
  void* stream;    /* CUDA: the stream (cudaStream_t) on which gradients are computed; NULL: the default stream */
} cddp_memory;
#define CDDP_MEMORY_INIT \
  { sizeof(cddp_memory), CDDP_HOST, 0, 0, NULL }

/* ---- A client's life ---- */

typedef struct cddp_client cddp_client;

/* Joins the servers as one worker of a training. Waits for servers that are out of reach, up to "server_timeout".
 * `tensors` is read during this call only; the memory at `data` is used until cddp_destroy. `memory` NULL: the host's.
 * With rank "auto" the first server assigns a free rank. This call changes no weight.
 *
 * CDDP_INVALID_ARGUMENT: the options or tensors make no sense, or are not those of the servers or the other workers;
 * CDDP_ALREADY_EXISTS: a tensor's memory, or this rank at these servers, is another client's of this process;
 * CDDP_UNAVAILABLE: a server is out of reach. */
CDDP_API cddp_code cddp_join(const cddp_options* options, const cddp_tensor* tensors, size_t tensor_count,
                             const cddp_memory* memory, cddp_client** client);

/* Gives every worker the same weights: rank 0's in a new training (all its workers must call this), the servers' in a
 * running one. Then steps may begin. After an error of the servers, or cddp_cancel, the weights may be partly
 * overwritten: set them again before a new client joins. */
CDDP_API cddp_code cddp_start(cddp_client* client);

/* Continues from a state of cddp_save_state: instead of cddp_start, or after it and before the first step (a step that
 * was under way when the state's process ended is then given up). Sets the weights. CDDP_INVALID_ARGUMENT for the
 * state of another model, rank or options; CDDP_DATA_LOSS if it is damaged; CDDP_FAILED_PRECONDITION if the servers
 * begin anew. */
CDDP_API cddp_code cddp_restore(cddp_client* client, const void* state, size_t size);

/* Tells the servers that this worker no longer takes part. `finished`: its training is complete (a server with
 * --exit_when_finished ends once all workers have said so); 0: it gives up, and the others continue without it. A
 * server that is out of reach is tried for "server_timeout", at most 30 s, and then skipped without an error. Then only
 * cddp_get_statistics and cddp_destroy may be called. */
CDDP_API cddp_code cddp_leave(cddp_client* client, int finished);

/* Ends the client's threads and its use of the tensors. Without cddp_leave, the servers keep this worker's place for
 * their --lease, so that a process may continue from a saved state. NULL is fine. Not while another call runs. */
CDDP_API void cddp_destroy(cddp_client* client);

/* ---- Steps ---- */

typedef enum cddp_step_flags {
  CDDP_STEP_NOT_FINITE = 1, /* the loss is NaN or infinite: no worker makes this step */
  CDDP_STEP_EMPTY = 2 /* this worker has no examples (uneven data) and no gradient: the mean is that of the others */
} cddp_step_flags;

typedef struct cddp_step_options {
  uint32_t struct_size;
  uint32_t flags;         /* cddp_step_flags */
  double weight;          /* of this worker in the mean, relative to the other workers (examples of the batch), from
                             2^-40 to 2^40; 0 means 1 */
  double loss;            /* for `cddp status`; with "gradients", NaN or infinity is CDDP_STEP_NOT_FINITE */
  const float* gradients; /* of all parameters, in cddp_join's order, as one array; NULL: cddp_ready gives them */
} cddp_step_options;
#define CDDP_STEP_OPTIONS_INIT \
  { sizeof(cddp_step_options), 0, 0, 0, NULL }

/* The result of a step. */
typedef struct cddp_result {
  uint32_t struct_size;
  uint32_t exchanged; /* 0: a local step of "weights", or no exchange has ended: what follows is 0, except `step` */
  uint32_t refused;   /* 1: a gradient or weight of some worker was not finite. All workers skipped its buckets; their
                         finite values are sent with later steps, except that they are dropped where
                         CDDP_STEP_NOT_FINITE was given or weights were not finite */
  uint32_t replaced;  /* buckets whose weights came whole, since the servers' logs did not reach back far enough */
  uint64_t step;      /* number of the exchange, from 1 */
  uint64_t missed;    /* steps that the other workers made without this one */
  uint64_t pushed_bytes;
  uint64_t pulled_bytes;
  uint64_t pushed_elements;
  double residual_norm;    /* Euclidean norm of the residual, which is not sent yet */
  double compress_seconds; /* spent on compressing gradients, the time during the backward pass included */
  double wait_seconds;     /* spent in cddp_finish on anything else */
} cddp_result;
#define CDDP_RESULT_INIT \
  { sizeof(cddp_result), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Begins a step, after the forward pass. `options` may be NULL. With "weights" it is the exchange after a round of the
 * program's own steps: every tensor counts as ready, and there are no gradients; cddp_finish then sets the weights to
 * those of all workers. With "overlap", while an exchange is under way, cddp_begin starts no other one: cddp_finish
 * adds the answer of that exchange to the weights, beneath the changes made since it began. */
CDDP_API cddp_code cddp_begin(cddp_client* client, const cddp_step_options* options);

/* Says that a tensor's gradient is complete and that nothing reads its weights any more in this step. `tensor` is its
 * index in cddp_join's array. `gradient` is copied during the call; give NULL with cddp_step_options::gradients.
 * Without these, NULL stands for zeros (an unused or frozen parameter). Tensors are pushed in descending order, so
 * those that the backward pass completes first should be the last ones. */
CDDP_API cddp_code cddp_ready(cddp_client* client, size_t tensor, const float* gradient);

/* Waits until the step is done, at most `seconds`; then it returns CDDP_DEADLINE_EXCEEDED. A program can thus handle
 * signals between two waits. cddp_finish must end the step in any case. The same holds for an exchange of "overlap". */
CDDP_API cddp_code cddp_wait(cddp_client* client, double seconds);

/* Waits until the servers have every worker's contribution, and sets the weights. `result` may be NULL. If a tensor is
 * not ready it returns CDDP_FAILED_PRECONDITION, and the step stays open. */
CDDP_API cddp_code cddp_finish(cddp_client* client, cddp_result* result);

/* Ends, from another thread, a wait in cddp_start, cddp_wait, cddp_finish or cddp_step. That call returns
 * CDDP_CANCELLED, and the client can only be left or destroyed. (cddp_wait may return CDDP_OK instead; then cddp_finish
 * returns CDDP_CANCELLED.) It also ends a step in which no thread waits; between two steps it does nothing. Not for
 * signal handlers. */
CDDP_API cddp_code cddp_cancel(cddp_client* client);

/* With "weights": says that the program's optimizer has made a step. Every "local_steps"-th call exchanges (cddp_begin
 * and cddp_finish in one) and sets the weights; the others return at once. Weights that are not finite are not sent:
 * this round is refused, and the weights are set to the published ones.
 *
 * With "overlap" K, every "local_steps"-th call only begins an exchange: the weights go on from the published ones and
 * what is pushed of their own. The K-th call after it waits for the answer, which takes the place of that. Before an
 * evaluation, or at an epoch's end, all workers bring what is left together after the same step, if
 * cddp_statistics::under_way by cddp_begin and cddp_finish, and if `local_steps` there is above 0 by these once more.
 */
CDDP_API cddp_code cddp_step(cddp_client* client, const cddp_step_options* options, cddp_result* result);

/* The first half of cddp_step (since 1.1), for a program that waits in slices: tells that a step was made. *due is 1 if
 * cddp_begin, as often as wanted cddp_wait, and cddp_finish must follow before its next step; else 0. */
CDDP_API cddp_code cddp_note_step(cddp_client* client, int* due);

/* ---- State ---- */

/* All that this worker needs to continue from here, except the program's own state (its optimizer, its place in the
 * data): the weights, the residual, the position. Between two steps. The servers keep their state (--state_dir).
 * With "overlap" the call waits for an exchange that is under way; the later steps stay the same. */
CDDP_API cddp_code cddp_state_size(cddp_client* client, size_t* size);
CDDP_API cddp_code cddp_save_state(cddp_client* client, void* state, size_t capacity, size_t* size);

/* ---- Statistics ---- */

typedef struct cddp_statistics {
  uint32_t struct_size;
  uint32_t rank;
  uint32_t workers;
  uint32_t servers;
  uint32_t buckets;
  uint32_t in_place;        /* 1: the parameters lie next to each other, see cddp_tensor */
  uint64_t elements;        /* of all tensors */
  uint64_t step;            /* number of the coming exchange, from 1; 0 before cddp_start */
  uint64_t local_steps;     /* "weights": steps since the last exchange, with "overlap" since it began */
  uint64_t version_at_join; /* of the servers' weights; 0: a new training */
  uint64_t exchanges;       /* of this client; the members below are sums over them, up to wait_seconds */
  uint64_t refused;
  uint64_t missed;
  uint64_t pushed_bytes;
  uint64_t pulled_bytes;
  uint64_t retries; /* calls that were made again */
  double compress_seconds;
  double wait_seconds;
  double residual_norm; /* after the last exchange */
  /* Since 1.1: */
  uint64_t round_steps; /* steps that the round under way makes: "local_steps", or what "auto" has decided */
  uint32_t under_way;   /* 1: an exchange of "overlap" whose answer is not in the weights yet */
  uint32_t unused;
} cddp_statistics;
#define CDDP_STATISTICS_INIT \
  { sizeof(cddp_statistics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

CDDP_API cddp_code cddp_get_statistics(cddp_client* client, cddp_statistics* statistics);

/* ---- An optimizer ---- */

/* AdamW (Loshchilov & Hutter 2019) over a program's own arrays on the host. A step reads and writes each array once,
 * whereas PyTorch before 2.4 passes over them ten times. */
typedef struct cddp_adamw {
  uint32_t struct_size;
  uint32_t unused; /* 0 */
  uint64_t step;   /* number of this step, from 1 */
  double lr;
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;
} cddp_adamw;
#define CDDP_ADAMW_INIT \
  { sizeof(cddp_adamw), 0, 1, 1e-3, 0.9, 0.999, 1e-8, 1e-2 }

/* Makes one step of `elements` weights with these gradients; `mean` and `mean_square` are the state, zeros at first. No
 * two arrays may overlap. Any thread may call it, and it needs no client. */
CDDP_API cddp_code cddp_adamw_step(const cddp_adamw* options, size_t elements, float* weights, const float* gradients,
                                   float* mean, float* mean_square);

#ifdef __cplusplus
}
#endif

#endif /* CDDP_CDDP_H_ */
