// DnsQuery: a DNS query as octets; summary(): what an answer says, in a word, as tools print it.
// Thread rule: values.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/wire/dns.h"

namespace vtl::test {

struct DnsQuery {
  static constexpr std::uint16_t kId = 0x1234;
  DnsQuery(std::string_view asked, wire::DnsType asked_type)
      : name(wire::DnsName::parse(asked).value()), type(static_cast<std::uint16_t>(asked_type)) {
    header.id = kId;
    header.recursion_desired = true;
  }

  wire::DnsHeader header;
  wire::DnsName name;
  std::uint16_t type;
  std::uint16_t klass = wire::kDnsInternet;
  std::optional<wire::DnsEdns> edns;
  std::vector<std::uint8_t> options;  ///< of EDNS, as on the wire

  [[nodiscard]] std::vector<std::uint8_t> octets() const {
    std::vector<std::uint8_t> out(1024);
    wire::DnsWriter writer(out, header);
    bool fits = writer.question({name, type, klass});
    if (edns) fits = writer.edns(*edns, wire::DnsCode::kNoError) && fits;
    out.resize(fits ? writer.message().size() : 0);
    if (edns && fits) {
      store_be16(out, out.size() - 2, static_cast<std::uint16_t>(options.size()));
      out.insert(out.end(), options.begin(), options.end());
    }
    return out;
  }
};

/// "NOERROR 192.0.2.1", "NXDOMAIN": the code, and what the answer section's records say.
inline std::string summary(const wire::DnsMessageView& answer) {
  static const char* const codes[] = {"NOERROR",  "FORMERR", "SERVFAIL",
                                      "NXDOMAIN", "NOTIMP",  "REFUSED"};
  const std::uint8_t code = answer.header().code;
  std::string text = code < std::size(codes) ? codes[code] : "code " + std::to_string(code);
  for (auto it = answer.records(); const auto record = it.next();) {
    if (record->section() != wire::DnsSection::kAnswer) continue;
    if (const auto address = record->address()) text += " " + to_string(*address);
    if (const auto target = record->target()) text += " " + to_string(*target);
  }
  return text;
}

}  // namespace vtl::test
