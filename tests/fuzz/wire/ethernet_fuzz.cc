#include "vtl/wire/ethernet.h"

#include "fuzz.h"

using namespace vtl;
using namespace vtl::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto view = EthernetView::parse({data, size});
  if (!view) return 0;
  const EthernetFields fields = view->fields();
  FUZZ_CHECK(fields.size() == view->header_size());
  FUZZ_CHECK(view->header_size() + view->payload().size() == size);
  FUZZ_CHECK(EthernetView::parse(fuzz::emitted(fields))->fields() == fields);
  fuzz::touch(view->payload());
  return 0;
}
