#include "vtl/service/anonymizer/dns_responder.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace vtl::service {
namespace {

using wire::DnsCode, wire::DnsMessageView, wire::DnsName, wire::DnsType, wire::IpAddress;

constexpr std::uint16_t kPayload = 1232;  // what DNS servers say they take (DNS flag day 2020)
// RFC 6895 section 3.1: from here to 255 types of questions that name no data.
constexpr std::uint16_t kFirstMetaType = 128, kLastMetaType = 255;
constexpr std::uint16_t kZoneTransfer = 252, kIncrementalTransfer = 251;  // RFC 5936, RFC 1995

const DnsName& in_addr_arpa() {
  static const DnsName name = *DnsName::parse("in-addr.arpa");
  return name;
}
const DnsName& ip6_arpa() {
  static const DnsName name = *DnsName::parse("ip6.arpa");
  return name;
}
const DnsName& localhost() {
  static const DnsName name = *DnsName::parse("localhost");
  return name;
}
const DnsName& ipv4only_arpa() {
  static const DnsName name = *DnsName::parse("ipv4only.arpa");
  return name;
}
const DnsName& onion() {
  static const DnsName name = *DnsName::parse("onion");
  return name;
}

bool is(const DnsAsked& asked, DnsType type) noexcept {
  return asked.question.type == static_cast<std::uint16_t>(type);
}
bool wants_v4(const DnsAsked& asked) noexcept {
  return is(asked, DnsType::kA) || is(asked, DnsType::kAny);
}
bool wants_v6(const DnsAsked& asked) noexcept {
  return is(asked, DnsType::kAaaa);
}

// The header of the answer: what RFC 1035 section 4.1.1 and RFC 4035 section 3.2.2 copy.
wire::DnsHeader answering(const wire::DnsHeader& query) {
  wire::DnsHeader header;
  header.id = query.id;
  header.response = true;
  header.opcode = query.opcode;
  header.recursion_desired = query.recursion_desired;
  header.recursion_available = true;
  header.checking_disabled = query.checking_disabled;
  return header;
}

// The header of a message of which nothing else need be right.
wire::DnsHeader read_header(Bytes message) {
  std::array<std::uint8_t, DnsMessageView::kHeaderSize> alone{};
  std::ranges::copy(message.first(4), alone.begin());
  return DnsMessageView::parse(alone)->header();
}

// RFC 6891 section 6.1.1: at most one OPT record, additional, of the root.
bool has_sane_edns(const DnsMessageView& view) {
  unsigned found = 0;
  for (auto it = view.records(); const auto record = it.next();) {
    if (record->type() != static_cast<std::uint16_t>(DnsType::kOpt)) continue;
    const auto name = record->name();
    if (record->section() != wire::DnsSection::kAdditional || !name || !name->is_root()) {
      return false;
    }
    ++found;
  }
  return found <= 1;
}

// A name as a proxy is told it, in lower case; nothing where it could not be told so.
std::optional<std::string_view> host_text(const DnsName& name,
                                          std::array<char, DnsName::kMaxSize>& out) noexcept {
  std::size_t size = 0;
  const Bytes octets = name.octets();
  for (std::size_t at = 0; octets[at] != 0; at += octets[at] + 1U) {
    if (size > 0) out[size++] = '.';
    for (const std::uint8_t octet : octets.subspan(at + 1, octets[at])) {
      const bool upper = octet >= 'A' && octet <= 'Z';
      const char c = static_cast<char>(upper ? octet + ('a' - 'A') : octet);
      const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      if (!plain) return std::nullopt;
      out[size++] = c;
    }
  }
  return std::string_view(out.data(), size);
}

Bytes write_header(const wire::DnsHeader& query, DnsCode code, MutableBytes out) {
  wire::DnsHeader header = answering(query);
  header.code = static_cast<std::uint8_t>(code);
  return wire::DnsWriter(out, header).message();
}

// An answer under way: the question is there, the rest follows.
class Answer {
 public:
  Answer(const DnsAsked& asked, DnsCode code, MutableBytes out)
      : asked_(asked), code_(code), writer_(out, with_code(asked.header, code)) {
    fits_ = writer_.question(asked.question);
  }
  [[nodiscard]] wire::DnsWriter& writer() { return writer_; }
  void expect(bool fits) { fits_ = fits_ && fits; }
  [[nodiscard]] Bytes end() {
    if (asked_.edns) {
      // RFC 3225 section 3: the DO bit is given back.
      fits_ = writer_.edns({kPayload, 0, asked_.edns->dnssec_ok}, code_) && fits_;
    }
    if (!fits_) writer_.set_truncated();
    return writer_.message();
  }

 private:
  static wire::DnsHeader with_code(wire::DnsHeader header, DnsCode code) {
    header.code = static_cast<std::uint8_t>(static_cast<std::uint8_t>(code) & 15);
    return header;
  }
  const DnsAsked& asked_;
  DnsCode code_;
  wire::DnsWriter writer_;
  bool fits_ = true;
};

}  // namespace

std::uint32_t DnsResponder::ttl_seconds() const noexcept {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(pool_.options().ttl).count());
}

void DnsResponder::count(DnsCode code) noexcept {
  switch (code) {
    case DnsCode::kNoError:
      return counters_.empty.add();
    case DnsCode::kFormatError:
      return counters_.malformed.add();
    case DnsCode::kServerFailure:
      return counters_.failed.add();
    case DnsCode::kNoSuchName:
      return counters_.no_such_name.add();
    case DnsCode::kRefused:
      return counters_.refused.add();
    case DnsCode::kNotImplemented:
    case DnsCode::kBadVersion:
      return counters_.not_implemented.add();
  }
}

Bytes DnsResponder::write_nothing(const DnsAsked& asked, DnsCode code, MutableBytes out) {
  count(code);
  Answer answer(asked, code, out);
  if (code == DnsCode::kNoError || code == DnsCode::kNoSuchName) {
    answer.expect(answer.writer().negative({}, ttl_seconds()));
  }
  return answer.end();
}

Bytes DnsResponder::write_addresses(const DnsAsked& asked, std::span<const IpAddress> addresses,
                                    MutableBytes out) {
  counters_.addresses.add();
  Answer answer(asked, DnsCode::kNoError, out);
  for (const IpAddress& address : addresses) {
    answer.expect(answer.writer().address(asked.question.name, ttl_seconds(), address));
  }
  return answer.end();
}

Bytes DnsResponder::write_name(const DnsAsked& asked, const DnsName& name, MutableBytes out) {
  counters_.names.add();
  Answer answer(asked, DnsCode::kNoError, out);
  answer.expect(answer.writer().target(asked.question.name, DnsType::kPtr, ttl_seconds(), name));
  return answer.end();
}

DnsOutcome DnsResponder::answer(Bytes query, MutableBytes out, GuestId guest, Time now) {
  counters_.queries.add();
  if (query.size() < DnsMessageView::kHeaderSize || out.size() < DnsMessageView::kHeaderSize) {
    counters_.ignored.add();
    return {};
  }
  const wire::DnsHeader header = read_header(query);
  if (header.response) {
    counters_.ignored.add();
    return {};
  }
  const auto alone = [&](DnsCode code) {
    count(code);
    return DnsOutcome{write_header(header, code, out), std::nullopt};
  };
  if (header.opcode != 0) return alone(DnsCode::kNotImplemented);
  const auto view = DnsMessageView::parse(query);
  if (!view || view->questions() != 1 || !has_sane_edns(*view)) {
    return alone(DnsCode::kFormatError);
  }
  return answer_question({answering(header), *view->question(), view->edns()}, out, guest, now);
}

DnsOutcome DnsResponder::answer_question(const DnsAsked& asked, MutableBytes out, GuestId guest,
                                         Time now) {
  const auto nothing = [&](DnsCode code) {
    return DnsOutcome{write_nothing(asked, code, out), std::nullopt};
  };
  const wire::DnsQuestion& question = asked.question;
  if (asked.edns && asked.edns->version != 0) return nothing(DnsCode::kBadVersion);
  if (question.klass != wire::kDnsInternet) return nothing(DnsCode::kNotImplemented);
  if (is(asked, DnsType::kOpt)) return nothing(DnsCode::kFormatError);
  if (question.type == kZoneTransfer || question.type == kIncrementalTransfer) {
    return nothing(DnsCode::kRefused);
  }
  if (question.type >= kFirstMetaType && question.type <= kLastMetaType &&
      !is(asked, DnsType::kAny)) {
    return nothing(DnsCode::kNotImplemented);
  }
  if (question.name.is_within(in_addr_arpa()) || question.name.is_within(ip6_arpa())) {
    return answer_reverse(asked, out, guest, now);
  }
  return answer_host(asked, out, guest, now);
}

DnsOutcome DnsResponder::answer_reverse(const DnsAsked& asked, MutableBytes out, GuestId guest,
                                        Time now) {
  const auto nothing = [&](DnsCode code) {
    return DnsOutcome{write_nothing(asked, code, out), std::nullopt};
  };
  const auto address = asked.question.name.reversed_address();
  // Not the name of an address, but of what lies above some: it is there (RFC 8020 section 2).
  if (!address) return nothing(DnsCode::kNoError);
  const bool is_pointer = is(asked, DnsType::kPtr) || is(asked, DnsType::kAny);
  if (pool_.contains(*address)) {
    const auto text = pool_.find_for(*address, guest, now);
    const auto name = text ? DnsName::parse(*text) : std::nullopt;
    if (!name) return nothing(DnsCode::kNoSuchName);
    if (!is_pointer) return nothing(DnsCode::kNoError);
    return {write_name(asked, *name, out), std::nullopt};
  }
  if (*address == IpAddress(wire::Ipv4Address(127, 0, 0, 1)) ||
      *address == *IpAddress::parse("::1")) {
    if (!is_pointer) return nothing(DnsCode::kNoError);
    return {write_name(asked, localhost(), out), std::nullopt};
  }
  if (mode_ == DnsMode::kPool || !egress_.may_reach(*address)) {
    return nothing(DnsCode::kNoSuchName);
  }
  if (!is_pointer) return nothing(DnsCode::kNoError);
  counters_.look_ups.add();
  return {{}, DnsOutcome::LookUp{*address, asked}};
}

DnsOutcome DnsResponder::answer_host(const DnsAsked& asked, MutableBytes out, GuestId guest,
                                     Time now) {
  const auto nothing = [&](DnsCode code) {
    return DnsOutcome{write_nothing(asked, code, out), std::nullopt};
  };
  const auto addresses = [&](std::initializer_list<IpAddress> list) {
    return DnsOutcome{write_addresses(asked, {list.begin(), list.size()}, out), std::nullopt};
  };
  const DnsName& name = asked.question.name;
  if (name.is_root()) return nothing(DnsCode::kNoError);
  if (name.is_within(localhost())) {
    if (wants_v4(asked)) return addresses({wire::Ipv4Address(127, 0, 0, 1)});
    if (wants_v6(asked)) return addresses({*IpAddress::parse("::1")});
    return nothing(DnsCode::kNoError);
  }
  if (name == ipv4only_arpa()) {
    if (!wants_v4(asked)) return nothing(DnsCode::kNoError);
    return addresses({wire::Ipv4Address(192, 0, 0, 170), wire::Ipv4Address(192, 0, 0, 171)});
  }
  std::array<char, DnsName::kMaxSize> buffer;
  const auto text = host_text(name, buffer);
  if (!text || ends_in_number(*text)) return nothing(DnsCode::kNoSuchName);
  if (!egress_.may_ask(*text)) return nothing(DnsCode::kRefused);
  const bool v6 = wants_v6(asked) && pool_.options().v6.address().is_v6();
  if (!v6 && !wants_v4(asked)) return nothing(DnsCode::kNoError);
  if (mode_ == DnsMode::kResolve && !name.is_within(onion())) {
    counters_.look_ups.add();
    return {{}, DnsOutcome::LookUp{std::string(*text), asked}};
  }
  const auto given = pool_.give(*text, v6 ? AddressFamily::kV6 : AddressFamily::kV4, guest, now);
  if (!given) return nothing(DnsCode::kServerFailure);
  return addresses({*given});
}

Bytes DnsResponder::finish(const DnsAsked& asked,
                           const Result<transport::Host, transport::StreamError>& found,
                           MutableBytes out) {
  if (out.size() < DnsMessageView::kHeaderSize) return {};
  if (!found) {
    const auto code = [](transport::StreamError error) {
      if (error == transport::StreamError::kHostUnreachable) return DnsCode::kNoSuchName;
      if (error == transport::StreamError::kNetworkUnreachable) return DnsCode::kNoError;
      return DnsCode::kServerFailure;
    };
    return write_nothing(asked, code(found.error()), out);
  }
  const bool address_wanted = wants_v4(asked) || wants_v6(asked);
  if (const auto* text = std::get_if<std::string>(&*found)) {
    const auto name = DnsName::parse(*text);
    if (asked.question.name.reversed_address() && name) return write_name(asked, *name, out);
    return write_nothing(asked, DnsCode::kServerFailure, out);
  }
  const IpAddress& address = std::get<IpAddress>(*found);
  if (!address_wanted) return write_nothing(asked, DnsCode::kServerFailure, out);
  if (!egress_.may_reach(address)) return write_nothing(asked, DnsCode::kRefused, out);
  if (address.is_v6() != wants_v6(asked)) return write_nothing(asked, DnsCode::kNoError, out);
  return write_addresses(asked, {&address, 1}, out);
}

}  // namespace vtl::service
