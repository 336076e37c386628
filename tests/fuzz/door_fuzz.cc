// Any bytes as a certificate, a key, a file of tokens or a client's token.
// Input: which (1 byte), then the file.

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/transport/certificate.h"
#include "common/transport/tokens.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ScratchFile& file = *new ScratchFile();
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    const absl::StatusOr<cddp::CertificateFacts> facts = cddp::ParseCertificate(text);
    const bool fits = cddp::CheckKeyOfCertificate(text, text).ok();
    Check(facts.ok() || !fits);
    return 0;
  }
  const std::string& path = file.Write(text);
  const auto table = cddp::TokenTable::Read(path);
  if (table.ok()) Check(!(*table)->Find("").has_value());
  const auto token = cddp::TokenFile::Read(path);
  if (token.ok()) Check(!(*token)->token().empty());
  return 0;
}
