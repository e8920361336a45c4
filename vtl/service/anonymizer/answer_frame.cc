#include "vtl/service/anonymizer/answer_frame.h"

#include <algorithm>

#include "vtl/wire/ethernet.h"

namespace vtl::service {

Packet answer_frame(const Packet& question, const wire::MacAddress& source,
                    const wire::MacAddress& destination, std::size_t size) {
  const std::size_t network = question.layout().network_offset;
  Packet out = question.pool().allocate(network + size);
  if (!out) return out;
  const MutableBytes frame = out.mutable_bytes();
  std::ranges::copy(question.bytes().first(network), frame.begin());
  std::ranges::fill(frame.subspan(network), std::uint8_t{0});
  destination.store(frame, wire::EthernetView::kDestinationOffset);
  source.store(frame, wire::EthernetView::kSourceOffset);
  out.meta().arrival = question.meta().arrival;
  return out;
}

}  // namespace vtl::service
