// A serialised TcpModel from elsewhere: what is taken comes back as it was, and can be used.
#include "fuzz.h"
#include "vtl/model/tcp_model.h"

using namespace vtl;
using namespace vtl::model;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto model = TcpModel::deserialise({data, size});
  if (!model) return 0;
  std::vector<std::uint8_t> bytes(TcpModel::kSerialisedSize, 0xaa);
  model->serialise(bytes);
  FUZZ_CHECK(TcpModel::deserialise(bytes) == *model);
  FUZZ_CHECK(model->swapped().swapped() == *model);
  FUZZ_CHECK(!to_string(*model).empty());
  std::vector<std::uint8_t> out(2000);
  for (const End from : {End::kA, End::kB}) {
    TcpModel maker = *model;
    const auto frame = maker.create(from, {.payload = Bytes(bytes).first(5)}, out);
    if (!frame) {
      FUZZ_CHECK(maker == *model);
      continue;
    }
    TcpModel watcher = *model;
    FUZZ_CHECK(watcher.match(Bytes(out).first(*frame)).has_value());
    FUZZ_CHECK(followed(watcher.sync(Bytes(out).first(*frame))));
  }
  return 0;
}
