#include "vtl/service/filter.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace vtl::service {

struct Filter::Program {
  bpf_program bpf{};
  ~Program() { pcap_freecode(&bpf); }

  /// `head`: the octets at hand; `wire_size`: of the whole frame, for `len` and `greater`.
  [[nodiscard]] bool run(Bytes head, std::size_t wire_size) const {
    pcap_pkthdr header{};
    header.caplen = static_cast<bpf_u_int32>(head.size());
    header.len = static_cast<bpf_u_int32>(wire_size);
    return pcap_offline_filter(&bpf, &header, head.data()) != 0;
  }
};

Filter::Filter(std::string expression, std::unique_ptr<Program> program)
    : expression_(std::move(expression)), program_(std::move(program)) {}
Filter::Filter(Filter&&) noexcept = default;
Filter& Filter::operator=(Filter&&) noexcept = default;
Filter::~Filter() = default;

Outcome<Filter> Filter::compile(const std::string& expression) {
  constexpr int kSnapLength = 262144;
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> pcap(pcap_open_dead(DLT_EN10MB, kSnapLength),
                                                            &pcap_close);
  if (pcap == nullptr) return fail("libpcap has no memory for a filter");
  auto program = std::make_unique<Program>();
  if (pcap_compile(pcap.get(), &program->bpf, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
    return fail(std::string("filter \"") + expression + "\": " + pcap_geterr(pcap.get()));
  }
  return Filter(expression, std::move(program));
}

bool Filter::matches(Bytes frame, const Layout& layout) const {
  if (program_->run(frame, frame.size())) return true;
  if (layout.vlan_tags == 0) return false;
  constexpr std::size_t kMacs = 12;
  constexpr std::size_t kTag = 4;
  const std::size_t skip = kTag * layout.vlan_tags;
  if (frame.size() < kMacs + skip) return false;
  std::array<std::uint8_t, 256> untagged;  // more than Ethernet, IP and TCP headers can be
  const std::size_t n = std::min(untagged.size(), frame.size() - skip);
  std::memcpy(untagged.data(), frame.data(), kMacs);
  std::memcpy(untagged.data() + kMacs, frame.data() + kMacs + skip, n - kMacs);
  return program_->run(Bytes{untagged.data(), n}, frame.size() - skip);
}

}  // namespace vtl::service
