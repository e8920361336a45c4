// Frames of any kind, fed to every model: two octets of length, then the frame, and so on.
#include "fuzz.h"
#include "vtl/model/arp_model.h"
#include "vtl/model/icmp_echo_model.h"
#include "vtl/model/tcp_model.h"
#include "vtl/model/udp_model.h"

using namespace vtl;
using namespace vtl::model;

namespace {

Bytes next_frame(Bytes& input) {
  if (input.size() < 2) return {};
  const std::size_t length = std::min<std::size_t>(load_be16(input, 0), input.size() - 2);
  const Bytes frame = input.subspan(2, length);
  input = input.subspan(2 + length);
  return frame;
}

// What does not match changes nothing; what matches has a direction.
template <class Model>
void follow_any(std::optional<Model>& model, Bytes frame) {
  if (!model) {
    if (auto made = Model::initialise(frame)) model = *made;
    return;
  }
  const Model before = *model;
  const bool matches = model->match(frame).has_value();
  FUZZ_CHECK(model->sync(frame) == matches);
  if (!matches) FUZZ_CHECK(*model == before);
}

void follow_tcp(std::optional<TcpModel>& model, Bytes frame) {
  if (!model) {
    if (auto made = TcpModel::initialise(frame)) model = *made;
    return;
  }
  const TcpModel before = *model;
  TcpModel mirror = model->swapped();
  const Sync result = model->sync(frame);
  FUZZ_CHECK(mirror.sync(frame) == result);
  if (!followed(result)) FUZZ_CHECK(*model == before);
  std::vector<std::uint8_t> bytes(TcpModel::kSerialisedSize);
  model->serialise(bytes);
  FUZZ_CHECK(TcpModel::deserialise(bytes) == *model);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes input(data, size);
  std::optional<TcpModel> tcp;
  std::optional<UdpModel> udp;
  std::optional<IcmpEchoModel> echo;
  std::optional<ArpModel> arp;
  while (input.size() >= 2) {
    const Bytes frame = next_frame(input);
    follow_tcp(tcp, frame);
    follow_any(udp, frame);
    follow_any(echo, frame);
    follow_any(arp, frame);
  }
  return 0;
}
