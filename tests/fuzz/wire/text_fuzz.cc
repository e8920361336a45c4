// Addresses from text: what is accepted prints to text that gives the same address.
#include <string_view>

#include "fuzz.h"
#include "vtl/wire/addresses.h"

using namespace vtl::wire;

namespace {

template <class Address>
void check(std::string_view text) {
  const auto address = Address::parse(text);
  if (address) FUZZ_CHECK(Address::parse(to_string(*address)) == address);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(data[i]);
  check<MacAddress>(text);
  check<Ipv4Address>(text);
  check<Ipv6Address>(text);
  check<IpAddress>(text);
  check<SocketAddress>(text);
  return 0;
}
