#include "vtl/wire/tcp.h"

#include "fuzz.h"

using namespace vtl;
using namespace vtl::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  const auto view = TcpView::parse(input);
  if (!view) return 0;
  FUZZ_CHECK(view->header_size() + view->payload().size() == size);
  FUZZ_CHECK(view->sequence_length() >= view->payload().size());
  fuzz::touch(view->payload());
  const TcpFields fields = view->fields();
  FUZZ_CHECK(fields.options.sack_count <= TcpOptions::kMaxSackBlocks);
  const auto out = fuzz::emitted(fields);
  FUZZ_CHECK(out.size() <= TcpView::kMaxSize);
  // The canonical layout is a fixed point: padding may have cost SACK blocks the first time only.
  const auto again = TcpView::parse(out);
  FUZZ_CHECK(again);
  FUZZ_CHECK(again->options().sack_count <= fields.options.sack_count);
  FUZZ_CHECK(again->options().timestamps == fields.options.timestamps);
  FUZZ_CHECK(fuzz::emitted(again->fields()) == out);
  FUZZ_CHECK(!to_string(fields).empty());
  return 0;
}
