#include "vtl/transport/hmac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>

namespace vtl::transport {

Mac hmac_sha256(Bytes key, Bytes text) noexcept {
  Mac out;
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), text.data(), text.size(),
           out.data(), &size) == nullptr ||
      size != out.size())
    std::abort();  // libcrypto without SHA-256: nothing can be authenticated
  return out;
}

}  // namespace vtl::transport
