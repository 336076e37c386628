// --tls_cert_file, --tls_key_file, --tls_ca_file and --token_file, which servers and clients share.

#ifndef COMMON_TRANSPORT_SECURITY_FLAGS_H_
#define COMMON_TRANSPORT_SECURITY_FLAGS_H_

#include "common/transport/credentials.h"

namespace cddp {

// For ParseCommandLineOrExit, so that --help lists them.
inline constexpr char kSecurityFlagFile[] = "common/transport/security_flags.cc";

SecurityOptions SecurityFromFlags();

}  // namespace cddp

#endif  // COMMON_TRANSPORT_SECURITY_FLAGS_H_
