#include "vtl/wire/dns.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace vtl::wire {
namespace {

constexpr std::uint8_t kPointer = 0xc0;   // RFC 1035 section 4.1.4
constexpr std::size_t kQuestionTail = 4;  // type and class
constexpr std::size_t kRecordTail = 10;   // type, class, TTL, length
constexpr std::size_t kNameOfQuestion = 0xc000 | DnsMessageView::kHeaderSize;
constexpr std::size_t kQuestionCount = 4, kAnswerCount = 6, kAuthorityCount = 8,
                      kAdditionalCount = 10;

constexpr std::uint16_t kResponse = 0x8000, kAuthoritative = 0x0400, kTruncated = 0x0200,
                        kRecursionDesired = 0x0100, kRecursionAvailable = 0x0080,
                        kCheckingDisabled = 0x0010;
constexpr std::uint32_t kDnssecOk = 0x8000;

// The octet behind the name at `at`, whose pointers are not followed; nullopt beyond the end.
std::optional<std::size_t> skip_name(Bytes message, std::size_t at) noexcept {
  std::size_t length = 0;
  while (at < message.size()) {
    const std::uint8_t octet = message[at];
    if ((octet & kPointer) == kPointer) {
      if (message.size() - at < 2) return std::nullopt;
      return at + 2;
    }
    if ((octet & kPointer) != 0) return std::nullopt;  // RFC 6891 section 5: those are no labels
    length += octet + 1U;
    if (length > DnsName::kMaxSize) return std::nullopt;
    at += octet + 1U;
    if (octet == 0) return at <= message.size() ? std::optional(at) : std::nullopt;
  }
  return std::nullopt;
}

// The octet behind the record at `at`.
std::optional<std::size_t> skip_record(Bytes message, std::size_t at) noexcept {
  const auto fixed = skip_name(message, at);
  if (!fixed || message.size() - *fixed < kRecordTail) return std::nullopt;
  const std::size_t length = load_be16(message, *fixed + 8);
  if (message.size() - *fixed - kRecordTail < length) return std::nullopt;
  return *fixed + kRecordTail + length;
}

bool prints_plainly(std::uint8_t c) noexcept {
  return c > ' ' && c < 0x7f && c != '.' && c != '\\' && c != '"' && c != '(' && c != ')' &&
         c != ';' && c != '@' && c != '$';
}

// One octet of a label's text and how many characters it took; nullopt: a broken escape.
struct Escaped {
  std::uint8_t octet;
  std::size_t characters;
};
std::optional<Escaped> unescape(std::string_view text) noexcept {
  if (text.front() != '\\') return Escaped{static_cast<std::uint8_t>(text.front()), 1};
  if (text.size() < 2) return std::nullopt;
  if (text[1] < '0' || text[1] > '9') return Escaped{static_cast<std::uint8_t>(text[1]), 2};
  std::uint8_t value = 0;
  if (text.size() < 4) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + 4, value);
  if (error != std::errc{} || end != text.data() + 4) return std::nullopt;
  return Escaped{value, 4};
}

std::optional<unsigned> number(std::string_view text, int base, unsigned most) noexcept {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || value > most) return std::nullopt;
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return value;
}

std::string_view label_at(Bytes octets, std::size_t at) noexcept {
  return {reinterpret_cast<const char*>(octets.data()) + at + 1, octets[at]};
}

const DnsName& v4_suffix() {
  static const DnsName name = *DnsName::parse("in-addr.arpa");
  return name;
}
const DnsName& v6_suffix() {
  static const DnsName name = *DnsName::parse("ip6.arpa");
  return name;
}

}  // namespace

bool DnsName::append(Bytes label) noexcept {
  if (label.empty() || label.size() > kMaxLabel) return false;
  if (size_ + label.size() + 1 > kMaxSize) return false;
  octets_[size_ - 1U] = static_cast<std::uint8_t>(label.size());
  std::copy(label.begin(), label.end(), octets_.begin() + size_);
  size_ = static_cast<std::uint8_t>(size_ + label.size() + 1);
  octets_[size_ - 1U] = 0;
  return true;
}

std::optional<DnsName> DnsName::parse(std::string_view text) {
  DnsName name;
  if (text == ".") return name;
  if (text.empty()) return std::nullopt;
  std::array<std::uint8_t, kMaxLabel> label{};
  std::size_t length = 0;
  while (!text.empty()) {
    if (text.front() == '.') {
      if (!name.append(Bytes(label).first(length))) return std::nullopt;
      length = 0;
      text.remove_prefix(1);
      continue;
    }
    const auto octet = unescape(text);
    if (!octet || length == kMaxLabel) return std::nullopt;
    label[length++] = octet->octet;
    text.remove_prefix(octet->characters);
  }
  if (length > 0 && !name.append(Bytes(label).first(length))) return std::nullopt;
  return name;
}

DnsName DnsName::reverse_of(const IpAddress& address) {
  std::string text;
  if (address.is_v4()) {
    for (std::uint32_t value = address.v4().value(), i = 0; i < 4; ++i, value >>= 8) {
      text += fmt::format("{}.", value & 0xff);
    }
    return *parse(text + "in-addr.arpa");
  }
  const Ipv6Address six = address.v6();
  const auto& octets = six.octets();
  for (auto it = octets.rbegin(); it != octets.rend(); ++it) {
    text += fmt::format("{:x}.{:x}.", *it & 15, *it >> 4);
  }
  return *parse(text + "ip6.arpa");
}

bool DnsName::operator==(const DnsName& other) const noexcept {
  return std::ranges::equal(octets(), other.octets(), {}, folded, folded);
}

bool DnsName::is_within(const DnsName& suffix) const noexcept {
  std::size_t at = 0;
  while (size_ - at > suffix.size_) at += octets_[at] + 1U;
  return size_ - at == suffix.size_ &&
         std::ranges::equal(octets().subspan(at), suffix.octets(), {}, folded, folded);
}

std::optional<IpAddress> DnsName::reversed_address() const noexcept {
  const bool v4 = is_within(v4_suffix());
  if (!v4 && !is_within(v6_suffix())) return std::nullopt;
  const std::size_t wanted = v4 ? 4 : 32;
  std::array<unsigned, 32> parts{};
  std::size_t count = 0;
  const std::size_t end = size_ - (v4 ? v4_suffix().size_ : v6_suffix().size_);
  for (std::size_t at = 0; at < end; at += octets_[at] + 1U) {
    const auto part =
        v4 ? number(label_at(octets_, at), 10, 255) : number(label_at(octets_, at), 16, 15);
    if (!part || count == wanted) return std::nullopt;
    parts[count++] = *part;
  }
  if (count != wanted) return std::nullopt;
  if (v4) return Ipv4Address(parts[3] << 24 | parts[2] << 16 | parts[1] << 8 | parts[0]);
  std::array<std::uint8_t, Ipv6Address::kSize> octets{};
  for (std::size_t i = 0; i < octets.size(); ++i) {
    octets[15 - i] = static_cast<std::uint8_t>(parts[2 * i + 1] << 4 | parts[2 * i]);
  }
  return Ipv6Address(octets);
}

std::string to_string(const DnsName& name) {
  if (name.is_root()) return ".";
  std::string text;
  const Bytes octets = name.octets();
  for (std::size_t at = 0; octets[at] != 0; at += octets[at] + 1U) {
    if (at > 0) text += '.';
    for (const char c : label_at(octets, at)) {
      const auto octet = static_cast<std::uint8_t>(c);
      if (prints_plainly(octet)) {
        text += c;
      } else if (octet > ' ' && octet < 0x7f) {
        text += {'\\', c};
      } else {
        text += fmt::format("\\{:03}", octet);
      }
    }
  }
  return text;
}

Parsed<DnsMessageView> DnsMessageView::parse(Bytes message) noexcept {
  if (message.size() < kHeaderSize) return std::unexpected(WireError::kTruncated);
  DnsMessageView view(message);
  std::size_t at = kHeaderSize;
  for (std::uint16_t i = 0; i < view.questions(); ++i) {
    // A question's name has nothing before it to point to.
    const auto end = skip_name(message, at);
    if (!end || message.size() - *end < kQuestionTail)
      return std::unexpected(WireError::kTruncated);
    at = *end + kQuestionTail;
  }
  view.records_at_ = at;
  const unsigned records =
      load_be16(message, 6) + 0U + load_be16(message, 8) + load_be16(message, 10);
  for (unsigned i = 0; i < records; ++i) {
    const auto end = skip_record(message, at);
    if (!end) return std::unexpected(WireError::kTruncated);
    at = *end;
  }
  if (at != message.size()) return std::unexpected(WireError::kBadLength);
  if (view.questions() > 0 && !view.question()) return std::unexpected(WireError::kBadOption);
  return view;
}

DnsHeader DnsMessageView::header() const noexcept {
  const std::uint16_t flags = load_be16(bytes_, 2);
  DnsHeader h;
  h.id = load_be16(bytes_, 0);
  h.response = (flags & kResponse) != 0;
  h.opcode = static_cast<std::uint8_t>(flags >> 11 & 15);
  h.authoritative = (flags & kAuthoritative) != 0;
  h.truncated = (flags & kTruncated) != 0;
  h.recursion_desired = (flags & kRecursionDesired) != 0;
  h.recursion_available = (flags & kRecursionAvailable) != 0;
  h.checking_disabled = (flags & kCheckingDisabled) != 0;
  h.code = static_cast<std::uint8_t>(flags & 15);
  return h;
}

std::optional<DnsName> DnsName::read(Bytes message, std::size_t at) noexcept {
  DnsName name;
  std::size_t before = at;
  std::size_t pointers = 0;
  while (at < message.size()) {
    const std::uint8_t octet = message[at];
    if (octet == 0) return name;
    if ((octet & kPointer) == kPointer) {
      if (message.size() - at < 2 || ++pointers > kMaxPointers) return std::nullopt;
      at = load_be16(message, at) & 0x3fffU;
      if (at >= before || at < DnsMessageView::kHeaderSize) return std::nullopt;
      before = at;
      continue;
    }
    if (message.size() - at - 1 < octet || !name.append(message.subspan(at + 1, octet))) {
      return std::nullopt;
    }
    at += octet + 1U;
  }
  return std::nullopt;
}

std::optional<DnsQuestion> DnsMessageView::question() const noexcept {
  if (questions() == 0) return std::nullopt;
  const auto name = DnsName::read(bytes_, kHeaderSize);
  const std::size_t tail = skip_name(bytes_, kHeaderSize).value_or(kHeaderSize);
  if (!name) return std::nullopt;
  return DnsQuestion{*name, load_be16(bytes_, tail), load_be16(bytes_, tail + 2)};
}

DnsRecordIterator DnsMessageView::records() const noexcept {
  DnsRecordIterator it;
  it.message_ = bytes_;
  it.at_ = records_at_;
  for (std::size_t i = 0; i < it.left_.size(); ++i) {
    it.left_[i] = load_be16(bytes_, kAnswerCount + 2 * i);
  }
  return it;
}

std::optional<DnsRecord> DnsRecordIterator::next() noexcept {
  const auto section = std::ranges::find_if(left_, [](std::uint16_t n) { return n > 0; });
  if (section == left_.end()) return std::nullopt;
  --*section;
  DnsRecord record;
  record.message_ = message_;
  record.begin_ = at_;
  record.fixed_ = *skip_name(message_, at_);
  record.section_ = static_cast<DnsSection>(section - left_.begin());
  at_ = record.fixed_ + kRecordTail + record.data().size();
  return record;
}

std::optional<DnsName> DnsRecord::name() const noexcept {
  return DnsName::read(message_, begin_);
}

std::optional<IpAddress> DnsRecord::address() const noexcept {
  const Bytes bytes = data();
  if (type() == static_cast<std::uint16_t>(DnsType::kA) && bytes.size() == Ipv4Address::kSize) {
    return Ipv4Address::load(bytes, 0);
  }
  if (type() == static_cast<std::uint16_t>(DnsType::kAaaa) && bytes.size() == Ipv6Address::kSize) {
    return Ipv6Address::load(bytes, 0);
  }
  return std::nullopt;
}

std::optional<DnsName> DnsRecord::target() const noexcept {
  const auto t = static_cast<DnsType>(type());
  if (t != DnsType::kCname && t != DnsType::kPtr && t != DnsType::kNs) return std::nullopt;
  const std::size_t at = fixed_ + kRecordTail;
  if (skip_name(message_, at) != at + data().size()) return std::nullopt;
  return DnsName::read(message_, at);
}

std::optional<DnsEdns> DnsMessageView::edns() const noexcept {
  for (auto it = records(); const auto record = it.next();) {
    if (record->section() != DnsSection::kAdditional ||
        record->type() != static_cast<std::uint16_t>(DnsType::kOpt)) {
      continue;
    }
    const std::uint32_t ttl = record->ttl_seconds();
    return DnsEdns{record->klass(), static_cast<std::uint8_t>(ttl >> 16 & 0xff),
                   (ttl & kDnssecOk) != 0};
  }
  return std::nullopt;
}

DnsWriter::DnsWriter(MutableBytes out, const DnsHeader& header) noexcept
    : out_(out.first(std::min<std::size_t>(out.size(), 65535))) {
  assert(out.size() >= DnsMessageView::kHeaderSize);
  const auto bit = [](bool set, std::uint16_t mask) { return set ? mask : std::uint16_t{0}; };
  std::fill_n(out_.begin(), DnsMessageView::kHeaderSize, std::uint8_t{0});
  store_be16(out_, 0, header.id);
  store_be16(out_, 2,
             static_cast<std::uint16_t>(
                 bit(header.response, kResponse) | (header.opcode & 15) << 11 |
                 bit(header.authoritative, kAuthoritative) | bit(header.truncated, kTruncated) |
                 bit(header.recursion_desired, kRecursionDesired) |
                 bit(header.recursion_available, kRecursionAvailable) |
                 bit(header.checking_disabled, kCheckingDisabled) | (header.code & 15)));
}

bool DnsWriter::question(const DnsQuestion& question) noexcept {
  assert(!asked_ && size_ == DnsMessageView::kHeaderSize);
  const Bytes name = question.name.octets();
  if (out_.size() - size_ < name.size() + kQuestionTail) return false;
  std::ranges::copy(name, out_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += name.size();
  store_be16(out_, size_, question.type);
  store_be16(out_, size_ + 2, question.klass);
  size_ += kQuestionTail;
  store_be16(out_, kQuestionCount, 1);
  asked_ = question.name;
  return true;
}

bool DnsWriter::record(const DnsName& name, DnsType type, std::uint16_t klass, std::uint32_t ttl,
                       Bytes data, std::size_t count_at) noexcept {
  const bool known = asked_ && !name.is_root() && *asked_ == name;
  const std::size_t name_size = known ? 2 : name.octets().size();
  if (out_.size() - size_ < name_size + kRecordTail + data.size()) return false;
  if (known) {
    store_be16(out_, size_, static_cast<std::uint16_t>(kNameOfQuestion));
  } else {
    std::ranges::copy(name.octets(), out_.begin() + static_cast<std::ptrdiff_t>(size_));
  }
  size_ += name_size;
  store_be16(out_, size_, static_cast<std::uint16_t>(type));
  store_be16(out_, size_ + 2, klass);
  store_be32(out_, size_ + 4, ttl);
  store_be16(out_, size_ + 8, static_cast<std::uint16_t>(data.size()));
  size_ += kRecordTail;
  std::ranges::copy(data, out_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += data.size();
  store_be16(out_, count_at, static_cast<std::uint16_t>(load_be16(out_, count_at) + 1));
  return true;
}

bool DnsWriter::address(const DnsName& name, std::uint32_t ttl_seconds,
                        const IpAddress& address) noexcept {
  std::array<std::uint8_t, Ipv6Address::kSize> data{};
  if (address.is_v4()) {
    address.v4().store(data, 0);
    return record(name, DnsType::kA, kDnsInternet, ttl_seconds,
                  Bytes(data).first(Ipv4Address::kSize), kAnswerCount);
  }
  address.v6().store(data, 0);
  return record(name, DnsType::kAaaa, kDnsInternet, ttl_seconds, data, kAnswerCount);
}

bool DnsWriter::target(const DnsName& name, DnsType type, std::uint32_t ttl_seconds,
                       const DnsName& target) noexcept {
  return record(name, type, kDnsInternet, ttl_seconds, target.octets(), kAnswerCount);
}

bool DnsWriter::negative(const DnsName& zone, std::uint32_t ttl_seconds) noexcept {
  // Two names of which both are the root, serial, refresh, retry, expire, minimum.
  constexpr std::size_t kSerial = 2, kMinimum = kSerial + 4 * sizeof(std::uint32_t);
  std::array<std::uint8_t, kMinimum + sizeof(std::uint32_t)> data{};
  for (std::size_t at = kSerial; at < kMinimum; at += sizeof(std::uint32_t)) {
    store_be32(data, at, 1);
  }
  store_be32(data, kMinimum, ttl_seconds);
  return record(zone, DnsType::kSoa, kDnsInternet, ttl_seconds, data, kAuthorityCount);
}

bool DnsWriter::edns(const DnsEdns& edns, DnsCode code) noexcept {
  const std::uint32_t upper = static_cast<std::uint32_t>(code) >> 4;
  const std::uint32_t ttl = upper << 24 | static_cast<std::uint32_t>(edns.version) << 16 |
                            (edns.dnssec_ok ? kDnssecOk : 0U);
  return record({}, DnsType::kOpt, edns.payload, ttl, {}, kAdditionalCount);
}

void DnsWriter::set_truncated() noexcept {
  store_be16(out_, 2, static_cast<std::uint16_t>(load_be16(out_, 2) | kTruncated));
}

std::string dns_type_name(std::uint16_t type) {
  switch (static_cast<DnsType>(type)) {
    case DnsType::kA:
      return "A";
    case DnsType::kNs:
      return "NS";
    case DnsType::kCname:
      return "CNAME";
    case DnsType::kSoa:
      return "SOA";
    case DnsType::kPtr:
      return "PTR";
    case DnsType::kMx:
      return "MX";
    case DnsType::kTxt:
      return "TXT";
    case DnsType::kAaaa:
      return "AAAA";
    case DnsType::kSrv:
      return "SRV";
    case DnsType::kOpt:
      return "OPT";
    case DnsType::kSvcb:
      return "SVCB";
    case DnsType::kHttps:
      return "HTTPS";
    case DnsType::kAny:
      return "ANY";
  }
  return fmt::format("TYPE{}", type);
}

std::string to_string(const DnsMessageView& message) {
  const DnsHeader header = message.header();
  std::string text = fmt::format("{} {}", header.response ? "answer" : "query", header.id);
  if (const auto question = message.question()) {
    text += fmt::format(" {} {}", dns_type_name(question->type), to_string(question->name));
  }
  if (header.response && header.code != 0) text += fmt::format(" code {}", header.code);
  for (auto it = message.records(); const auto record = it.next();) {
    if (record->section() != DnsSection::kAnswer) continue;
    if (const auto address = record->address()) {
      text += ' ' + to_string(*address);
    } else if (const auto target = record->target()) {
      text += ' ' + to_string(*target);
    } else {
      text += ' ' + dns_type_name(record->type());
    }
  }
  return text;
}

}  // namespace vtl::wire
