#include "common/transport/certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <type_traits>

namespace cddp {
namespace {

template <auto kFree>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
template <class T, auto kFree>
using Owned = std::unique_ptr<T, Deleter<kFree>>;
using OwnedBio = Owned<BIO, BIO_free_all>;
using OwnedCertificate = Owned<X509, X509_free>;
using OwnedKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using OwnedNames = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;

// An encrypted key must not make a server ask its terminal.
int NoPassword(char*, int, int, void*) { return -1; }

OwnedBio Reader(const std::string& text) {
  return OwnedBio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

OwnedCertificate ReadCertificate(const std::string& pem) {
  return OwnedCertificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, NoPassword, nullptr));
}

std::string Text(const ASN1_STRING* string) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                     static_cast<size_t>(ASN1_STRING_length(string)));
}

std::string OneLine(const X509_NAME* name) {
  OwnedBio out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<CertificateFacts> ParseCertificate(const std::string& pem) {
  const OwnedCertificate certificate = ReadCertificate(pem);
  ERR_clear_error();
  if (certificate == nullptr) return absl::InvalidArgumentError("there is no PEM certificate");
  CertificateFacts facts;
  const X509_NAME* subject = X509_get_subject_name(certificate.get());
  facts.subject = OneLine(subject);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName, at)) >= 0;) {
    facts.units.push_back(Text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  }
  const OwnedNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_URI) facts.uris.push_back(Text(name->d.uniformResourceIdentifier));
  }
  tm expires = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &expires) != 1) {
    return absl::InvalidArgumentError("the certificate's end cannot be read");
  }
  facts.expires = absl::FromTM(expires, absl::UTCTimeZone());
  return facts;
}

absl::Status CheckKeyOfCertificate(const std::string& certificate_pem, const std::string& key_pem) {
  const OwnedCertificate certificate = ReadCertificate(certificate_pem);
  const OwnedKey key(PEM_read_bio_PrivateKey(Reader(key_pem).get(), nullptr, NoPassword, nullptr));
  absl::Status status;
  if (certificate == nullptr) {
    status = absl::InvalidArgumentError("there is no PEM certificate");
  } else if (key == nullptr) {
    status = absl::InvalidArgumentError("there is no PEM private key without a password");
  } else if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    status = absl::InvalidArgumentError("the key is not the certificate's");
  }
  ERR_clear_error();
  return status;
}

}  // namespace cddp
