// ICMP of both versions, neighbour discovery, and the packets that errors quote.
#include "fuzz.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/ndp.h"
#include "vtl/wire/quoted.h"

using namespace vtl;
using namespace vtl::wire;

namespace {

template <class View>
void check_message(Bytes input) {
  const auto view = View::parse(input);
  if (!view) return;
  fuzz::touch(view->body());
  const auto fields = view->fields();
  FUZZ_CHECK(View::parse(fuzz::emitted(fields))->fields() == fields);
  FUZZ_CHECK(!to_string(fields).empty());
  if (const auto flow = parse_quoted_flow(view->body())) FUZZ_CHECK(!to_string(flow->key).empty());
}

template <class View>
void check_options(const View& view) {
  for (auto it = view.options(); const auto option = it.next();) {
    fuzz::touch(option->data);
    (void)link_address(*option);
    (void)prefix(*option);
    if (const auto found = resolvers(*option)) FUZZ_CHECK(found->count() > 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  check_message<Icmpv4View>(input);
  check_message<Icmpv6View>(input);
  if (const auto neighbour = NeighbourView::parse(input)) {
    check_options(*neighbour);
    const NeighbourFields fields = neighbour->fields();
    FUZZ_CHECK(NeighbourView::parse(fuzz::emitted(fields))->fields() == fields);
  }
  if (const auto router = RouterAdvertisementView::parse(input)) {
    check_options(*router);
    FUZZ_CHECK(!to_string(*router).empty());
    const RouterAdvertisementFields fields = router->fields();
    FUZZ_CHECK(RouterAdvertisementView::parse(fuzz::emitted(fields))->fields() == fields);
  }
  return 0;
}
