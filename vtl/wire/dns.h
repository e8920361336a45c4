// DNS messages (RFC 1035, RFC 3596, RFC 6891): reading queries and answers, writing answers.
//
// A name is kept as it stands on the wire, labels with their lengths and no compression, in an
// object of its own: at most 255 octets. Names compare without regard to case (RFC 4343) and keep
// the case they came in, for a client may compare what it gets back with what it asked.
//
// parse() checks the header, the whole question section and the bounds of every record; a record's
// own name is followed when it is asked for, through at most DnsName::kMaxPointers pointers that
// each point further back. So a message costs time in proportion to its size, whatever it claims.
//
// Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"

namespace vtl::wire {

class DnsName {
 public:
  static constexpr std::size_t kMaxSize = 255;  // RFC 1035 section 2.3.4, the root's octet included
  static constexpr std::size_t kMaxLabel = 63;
  static constexpr std::size_t kMaxPointers = 16;

  constexpr DnsName() = default;  // the root
  /// "www.example.org", with or without the last dot; "." is the root. Escapes are those of RFC
  /// 1035 section 5.1: "\." and "\DDD".
  static std::optional<DnsName> parse(std::string_view text);
  /// The name under which an address is looked up: in-addr.arpa, ip6.arpa.
  static DnsName reverse_of(const IpAddress& address);
  /// The name that begins at `at` of a message, its pointers followed (RFC 1035 section 4.1.4).
  /// Each must point further back than the last, and there may be kMaxPointers of them.
  static std::optional<DnsName> read(Bytes message, std::size_t at) noexcept;

  /// Labels with their lengths, and the root's 0 at the end.
  [[nodiscard]] Bytes octets() const noexcept { return Bytes(octets_).first(size_); }
  [[nodiscard]] bool is_root() const noexcept { return size_ == 1; }
  /// It equals `suffix` or lies below it.
  [[nodiscard]] bool is_within(const DnsName& suffix) const noexcept;
  /// The address that it is the reverse name of, and no part of one.
  [[nodiscard]] std::optional<IpAddress> reversed_address() const noexcept;
  [[nodiscard]] bool operator==(const DnsName& other) const noexcept;
  template <class H>
  friend H AbslHashValue(H h, const DnsName& name) {
    for (const std::uint8_t octet : name.octets()) h = H::combine(std::move(h), folded(octet));
    return h;
  }

 private:
  [[nodiscard]] static constexpr std::uint8_t folded(std::uint8_t c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<std::uint8_t>(c + ('a' - 'A')) : c;
  }
  [[nodiscard]] bool append(Bytes label) noexcept;

  std::array<std::uint8_t, kMaxSize> octets_{};
  std::uint8_t size_ = 1;
};

/// Without the last dot, as programs write names; "." for the root.
[[nodiscard]] std::string to_string(const DnsName& name);

/// Types of records (and of questions) that VTL names; any other value may stand in a message.
enum class DnsType : std::uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kOpt = 41,
  kSvcb = 64,
  kHttps = 65,
  kAny = 255,
};
inline constexpr std::uint16_t kDnsInternet = 1;  // class IN

enum class DnsCode : std::uint8_t {
  kNoError = 0,
  kFormatError = 1,
  kServerFailure = 2,
  kNoSuchName = 3,
  kNotImplemented = 4,
  kRefused = 5,
  kBadVersion = 16,  ///< RFC 6891 section 6.1.3; its upper bits stand in the OPT record
};

/// The header's first four octets; the counts follow from what is in the message.
struct DnsHeader {
  std::uint16_t id = 0;
  bool response = false;
  std::uint8_t opcode = 0;  ///< 0: QUERY
  bool authoritative = false;
  bool truncated = false;
  bool recursion_desired = false;
  bool recursion_available = false;
  bool checking_disabled = false;  ///< RFC 4035 section 3.2.2
  std::uint8_t code = 0;           ///< DnsCode's lower four bits
  bool operator==(const DnsHeader&) const = default;
};

struct DnsQuestion {
  DnsName name;
  std::uint16_t type = 0;
  std::uint16_t klass = kDnsInternet;
  [[nodiscard]] bool operator==(const DnsQuestion&) const = default;
};

/// What a client says of itself (RFC 6891 section 6.1).
struct DnsEdns {
  std::uint16_t payload = 512;  ///< octets of an answer over UDP that it takes
  std::uint8_t version = 0;
  bool dnssec_ok = false;
  bool operator==(const DnsEdns&) const = default;
};

enum class DnsSection : std::uint8_t { kAnswer, kAuthority, kAdditional };

class DnsRecord {
 public:
  [[nodiscard]] DnsSection section() const noexcept { return section_; }
  [[nodiscard]] std::uint16_t type() const noexcept { return load_be16(message_, fixed_); }
  [[nodiscard]] std::uint16_t klass() const noexcept { return load_be16(message_, fixed_ + 2); }
  [[nodiscard]] std::uint32_t ttl_seconds() const noexcept {
    return load_be32(message_, fixed_ + 4);
  }
  [[nodiscard]] Bytes data() const noexcept {
    return message_.subspan(fixed_ + 10, load_be16(message_, fixed_ + 8));
  }
  /// Whose record it is; nullopt when its pointers lead nowhere.
  [[nodiscard]] std::optional<DnsName> name() const noexcept;
  /// Of an A or AAAA record of the right size.
  [[nodiscard]] std::optional<IpAddress> address() const noexcept;
  /// The name that a CNAME, PTR or NS record gives.
  [[nodiscard]] std::optional<DnsName> target() const noexcept;

 private:
  friend class DnsRecordIterator;
  Bytes message_;
  std::size_t begin_ = 0;  // of its name
  std::size_t fixed_ = 0;  // of what follows the name
  DnsSection section_ = DnsSection::kAnswer;
};

/// Walks over checked records.
class DnsRecordIterator {
 public:
  [[nodiscard]] std::optional<DnsRecord> next() noexcept;

 private:
  friend class DnsMessageView;
  Bytes message_;
  std::size_t at_ = 0;
  std::array<std::uint16_t, 3> left_{};
};

class DnsMessageView {
 public:
  static constexpr std::size_t kHeaderSize = 12;

  /// `message`: a UDP payload, or what a TCP length prefix announces. Octets behind the last record
  /// are kBadLength; more than one question is read, and the first one told.
  [[nodiscard]] static Parsed<DnsMessageView> parse(Bytes message) noexcept;

  [[nodiscard]] DnsHeader header() const noexcept;
  [[nodiscard]] std::uint16_t questions() const noexcept { return load_be16(bytes_, 4); }
  /// The first one.
  [[nodiscard]] std::optional<DnsQuestion> question() const noexcept;
  [[nodiscard]] DnsRecordIterator records() const noexcept;
  /// Of the first OPT record among the additional ones.
  [[nodiscard]] std::optional<DnsEdns> edns() const noexcept;

 private:
  explicit DnsMessageView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
  std::size_t records_at_ = 0;
};

/// Writes one message front to back. What finds no room is left out, and the call says so: the
/// message stays whole. A record's name is written as a pointer where it is the question's.
class DnsWriter {
 public:
  /// `out`: at least kHeaderSize octets, at most 65535 are used.
  DnsWriter(MutableBytes out, const DnsHeader& header) noexcept;

  [[nodiscard]] bool question(const DnsQuestion& question) noexcept;
  /// An A or AAAA record.
  [[nodiscard]] bool address(const DnsName& name, std::uint32_t ttl_seconds,
                             const IpAddress& address) noexcept;
  /// A PTR or CNAME record.
  [[nodiscard]] bool target(const DnsName& name, DnsType type, std::uint32_t ttl_seconds,
                            const DnsName& target) noexcept;
  /// The SOA record that a negative answer carries so that it can be kept (RFC 2308 section 3),
  /// with nothing in it but how long: of `zone`, in the authority section, behind all answers.
  [[nodiscard]] bool negative(const DnsName& zone, std::uint32_t ttl_seconds) noexcept;
  /// The OPT record; the last one. `code`: its upper bits go here.
  [[nodiscard]] bool edns(const DnsEdns& edns, DnsCode code) noexcept;
  void set_truncated() noexcept;

  [[nodiscard]] Bytes message() const noexcept { return out_.first(size_); }

 private:
  [[nodiscard]] bool record(const DnsName& name, DnsType type, std::uint16_t klass,
                            std::uint32_t ttl, Bytes data, std::size_t count_at) noexcept;

  MutableBytes out_;
  std::size_t size_ = DnsMessageView::kHeaderSize;
  std::optional<DnsName> asked_;  // stands right behind the header
};

/// "query 4660 A www.example.org".
[[nodiscard]] std::string to_string(const DnsMessageView& message);
/// "A"; "TYPE250" for one without a name here.
[[nodiscard]] std::string dns_type_name(std::uint16_t type);

}  // namespace vtl::wire
