#include "vtl/base/secure_random.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace vtl {

void fill_random(MutableBytes out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = getrandom(out.data() + done, out.size() - done, 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      std::perror("getrandom");  // No secret can be made: nothing safe is left to do.
      std::abort();
    }
    done += static_cast<std::size_t>(n);
  }
}

std::uint32_t random_u32() {
  std::array<std::uint8_t, 4> octets{};
  fill_random(octets);
  return load_be32(octets, 0);
}

}  // namespace vtl
