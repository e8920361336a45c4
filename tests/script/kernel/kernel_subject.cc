// The subject of netns_script_kernel: the kernel's TCP behind a socket.
//
// Theory of operation. The story's segments are written to a tun device and the kernel's are read
// there. "All that was sent by now" is known without waiting: an echo request goes in behind
// whatever was delivered, and its answer comes out behind whatever the kernel sent in between (the
// fence). What a story expects but the fence does not show is waited for a little, for the kernel
// may finish a thing on the other processor.
//
// The kernel's ISS is chosen through TCP_REPAIR where it opens; where it listens the story learns
// it from the SYN,ACK. States come from sock_diag, which tells them of connections without a
// socket too.
#include <gtest/gtest.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "lab/fd.h"
#include "lab/must.h"
#include "tests/script/kernel/kernel_world.h"
#include "tests/script/script.h"
#include "tests/script/subject.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/ipv4.h"

namespace vtl::endpoint::script {
namespace {

constexpr std::uint16_t kKernelPort = 80, kPeerPort = 4000;
constexpr Duration kPatience = 1s;  // for what is to come at once
constexpr Duration kLateness = 5s;  // for what a timer brings, on a loaded machine
constexpr int kSendBuffer = 1 << 20;
constexpr std::size_t kEchoSize = 8;
constexpr std::size_t kQuoted = 28;  // octets of the packet that an ICMP error quotes
constexpr std::size_t kQuotedSeq = 24;

[[noreturn]] void failed(const std::string& what) {
  throw lab::LabError(Error{what + ": " + std::strerror(errno)});
}

void set_option(int fd, int level, int name, int value, const char* what) {
  if (::setsockopt(fd, level, name, &value, sizeof value) != 0) failed(what);
}

sockaddr_in socket_address(wire::Ipv4Address address, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  out.sin_addr.s_addr = htonl(address.value());
  return out;
}

// The state in which the kernel has the connection, by its own numbers, also when no program has a
// socket of it any more or yet; 0: it has none. By sock_diag(7): /proc/net/tcp walks through all
// connections that a machine could have.
unsigned connection_state(wire::Ipv4Address local, std::uint16_t local_port,
                          wire::Ipv4Address remote, std::uint16_t remote_port) {
  struct {
    nlmsghdr header{};
    inet_diag_req_v2 request{};
  } question;
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST;
  question.request.sdiag_family = AF_INET;
  question.request.sdiag_protocol = IPPROTO_TCP;
  question.request.idiag_states = ~0U;
  inet_diag_sockid& id = question.request.id;
  id.idiag_sport = htons(local_port);
  id.idiag_dport = htons(remote_port);
  id.idiag_src[0] = htonl(local.value());
  id.idiag_dst[0] = htonl(remote.value());
  id.idiag_cookie[0] = id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;

  const lab::Fd fd(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd || ::send(fd.get(), &question, sizeof question, 0) < 0) failed("sock_diag");
  alignas(nlmsghdr) std::array<char, 8192> answer{};
  const ssize_t size = ::recv(fd.get(), answer.data(), answer.size(), 0);
  if (size < static_cast<ssize_t>(sizeof(nlmsghdr))) failed("sock_diag");
  nlmsghdr header{};
  std::memcpy(&header, answer.data(), sizeof header);
  if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return 0;  // there is none
  inet_diag_msg message{};
  std::memcpy(&message, answer.data() + NLMSG_HDRLEN, sizeof message);
  // Where no connection is found the one who listens is.
  return message.idiag_state == TCP_LISTEN ? 0 : message.idiag_state;
}

State state_of(unsigned code) {
  switch (code) {
    case TCP_ESTABLISHED:
      return State::kEstablished;
    case TCP_SYN_SENT:
      return State::kSynSent;
    case TCP_SYN_RECV:
    case 12:  // a request that no program has accepted
      return State::kSynReceived;
    case TCP_FIN_WAIT1:
      return State::kFinWait1;
    case TCP_FIN_WAIT2:
      return State::kFinWait2;
    case TCP_TIME_WAIT:
      return State::kTimeWait;
    case TCP_CLOSE_WAIT:
      return State::kCloseWait;
    case TCP_LAST_ACK:
      return State::kLastAck;
    case TCP_CLOSING:
      return State::kClosing;
    default:
      return State::kClosed;
  }
}

EndReason reason_of(int error) {
  switch (error) {
    case 0:
      return EndReason::kNone;
    case ECONNREFUSED:
      return EndReason::kRefused;
    case ECONNRESET:
    case EPIPE:  // a reset that met a stream which the peer had ended
      return EndReason::kReset;
    case ETIMEDOUT:
      return EndReason::kTimedOut;
    default:
      return EndReason::kUnreachable;
  }
}

class KernelSubject final : public Subject {
 public:
  KernelSubject(const Config& config, std::uint32_t iss)
      : world_(KernelWorld::get()), config_(config), iss_(iss), peer_(world_.next_peer()) {
    world_.set("tcp_timestamps", config.offer_timestamps ? "1" : "0");
    world_.set("tcp_window_scaling", config.offer_window_scale ? "1" : "0");
    world_.set("tcp_sack", config.offer_sack ? "1" : "0");
    world_.set("tcp_ecn", config.ecn == endpoint::Ecn::kRequest  ? "1"
                          : config.ecn == endpoint::Ecn::kAccept ? "2"
                                                                 : "0");
    world_.set("tcp_synack_retries", std::to_string(config.syn_retries));
    world_.set("tcp_recovery", "1");
    world_.set("tcp_early_retrans", "0");  // no tail loss probe unless the story is about it
    if (config.min_rto != plain().min_rto) world_.set_min_rto(peer_, config.min_rto);
  }
  ~KernelSubject() override {
    if (socket_) abort();
  }

  void connect() override {
    socket_ = make_socket();
    const int queue = TCP_SEND_QUEUE;
    set_option(socket_.get(), IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_ON, "TCP_REPAIR");
    set_option(socket_.get(), IPPROTO_TCP, TCP_REPAIR_QUEUE, queue, "TCP_REPAIR_QUEUE");
    set_option(socket_.get(), IPPROTO_TCP, TCP_QUEUE_SEQ, static_cast<int>(iss_), "TCP_QUEUE_SEQ");
    set_option(socket_.get(), IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP, "TCP_REPAIR");
    set_option(socket_.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");  // which that took away
    const sockaddr_in name = socket_address(peer_, kPeerPort);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
        errno != EINPROGRESS) {
      failed("connect");
    }
  }

  void listen(const Segment& syn, bool hold) override {
    if (hold) throw std::logic_error("the kernel holds no SYN: ENDPOINT_STORY");
    listener_ = make_socket();
    if (::listen(listener_.get(), 1) != 0) failed("listen");
    deliver(syn);
  }

  void deliver(const Segment& segment) override {
    const wire::TcpFields& header = segment.header;
    std::vector<std::uint8_t> tcp(header.size() + segment.payload.size());
    header.emit(tcp);
    std::ranges::copy(segment.payload, tcp.begin() + static_cast<std::ptrdiff_t>(header.size()));
    store_be16(tcp, wire::TcpView::kChecksumOffset,
               wire::transport_checksum(peer_, KernelWorld::kernel_address(),
                                        wire::IpProtocol::kTcp, tcp));
    send_ip(wire::IpProtocol::kTcp, tcp, segment.ce ? wire::Ecn::kCe : wire::Ecn::kNotEct);
  }

  std::vector<Sent> take(std::size_t expected) override {
    fence();
    const Time limit = now() + kPatience;
    while (sent_.size() < expected && read_one(limit)) {
    }
    return std::exchange(sent_, {});
  }

  void icmp_error(bool hard) override { send_icmp(hard ? 3 : 1, 0); }
  void icmp_too_big(std::uint16_t mtu, std::optional<wire::SeqNum> seq) override {
    fence();
    if (seq && last_packet_.size() == kQuoted) store_be32(last_packet_, kQuotedSeq, seq->value());
    send_icmp(4, mtu);
  }

  Time now() const override { return world_.now(); }
  void setting(const std::string& key, const std::string& value) override {
    world_.set(key, value);
  }
  bool run_until(Time limit) override {
    while (sent_.empty() && read_one(limit)) {
    }
    return !sent_.empty();
  }
  Duration lateness() const override { return kLateness; }

  std::size_t write(std::string_view text) override {
    accept();
    const ssize_t n = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (n < 0) note_error(errno);
    return n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  void shutdown() override {
    accept();
    ::shutdown(socket_.get(), SHUT_WR);
  }
  void abort() override {
    accept();
    const linger now{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    socket_.reset();
    reason_ = EndReason::kAborted;
  }
  std::size_t read(std::size_t octets) override {
    std::string into(octets, '\0');
    const ssize_t n = octets == 0 ? 0 : ::recv(socket_.get(), into.data(), octets, 0);
    return n < 0 ? 0 : static_cast<std::size_t>(n);
  }

  std::size_t readable() override {
    int octets = 0;
    if (socket_) ::ioctl(socket_.get(), FIONREAD, &octets);
    return static_cast<std::size_t>(octets);
  }
  std::string unread() override {
    std::string into(readable(), '\0');
    const ssize_t n = into.empty() ? 0 : ::recv(socket_.get(), into.data(), into.size(), MSG_PEEK);
    into.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return into;
  }
  bool at_end() override {
    char octet = 0;
    return socket_ && ::recv(socket_.get(), &octet, 1, MSG_PEEK) == 0;
  }
  bool all_acknowledged() override {
    int octets = 0;
    return socket_ && ::ioctl(socket_.get(), TIOCOUTQ, &octets) == 0 && octets == 0;
  }
  std::uint16_t effective_mss() override {
    tcp_info info{};
    socklen_t size = sizeof info;
    ::getsockopt(socket_.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
    return static_cast<std::uint16_t>(info.tcpi_snd_mss);
  }

  State state() override {
    fence();
    return state_of(connection_state(KernelWorld::kernel_address(), kKernelPort, peer_, kPeerPort));
  }

  std::optional<EndReason> reason() override {
    fence();
    if (!socket_) return reason_;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    note_error(error);
    return reason_.value_or(EndReason::kNone);
  }

 private:
  lab::Fd make_socket() {
    lab::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) failed("a socket");
    set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    set_option(fd.get(), SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE");
    set_option(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, kSendBuffer, "SO_SNDBUFFORCE");
    set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, config_.nagle ? 0 : 1, "TCP_NODELAY");
    if (::setsockopt(fd.get(), IPPROTO_TCP, TCP_CONGESTION, "reno", 4) != 0) failed("reno");
    set_option(fd.get(), IPPROTO_TCP, TCP_SYNCNT, std::max<int>(config_.syn_retries, 1),
               "TCP_SYNCNT");
    const Config usual = plain();
    if (config_.mss != usual.mss) {
      set_option(fd.get(), IPPROTO_TCP, TCP_MAXSEG, config_.mss, "TCP_MAXSEG");
    }
    if (config_.user_timeout != usual.user_timeout) {
      set_option(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT,
                 static_cast<int>(config_.user_timeout / 1ms), "TCP_USER_TIMEOUT");
    }
    if (config_.receive_buffer != usual.receive_buffer) {
      set_option(fd.get(), SOL_SOCKET, SO_RCVBUF, static_cast<int>(config_.receive_buffer),
                 "SO_RCVBUF");
    }
    if (config_.keep_alive_idle > Duration::zero()) {
      set_option(fd.get(), SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
      set_option(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE,
                 static_cast<int>(config_.keep_alive_idle / 1s), "TCP_KEEPIDLE");
      set_option(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL,
                 static_cast<int>(config_.keep_alive_interval / 1s), "TCP_KEEPINTVL");
      set_option(fd.get(), IPPROTO_TCP, TCP_KEEPCNT, config_.keep_alive_probes, "TCP_KEEPCNT");
    }
    const sockaddr_in name = socket_address(KernelWorld::kernel_address(), kKernelPort);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
      failed("bind");
    }
    return fd;
  }

  // Takes the connection that the listener has, if it has one.
  void accept() {
    if (socket_ || !listener_) return;
    socket_ = lab::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  }

  void note_error(int error) {
    if (error != 0 && error != EAGAIN) reason_ = reason_of(error);
  }

  void send_ip(wire::IpProtocol protocol, Bytes payload, wire::Ecn ecn = wire::Ecn::kNotEct) {
    wire::Ipv4Fields ip;
    ip.source = peer_;
    ip.destination = KernelWorld::kernel_address();
    ip.protocol = protocol;
    ip.ecn = ecn;
    ip.dont_fragment = true;
    ip.payload_length = static_cast<std::uint16_t>(payload.size());
    std::vector<std::uint8_t> packet(ip.size() + payload.size());
    ip.emit(packet);
    std::ranges::copy(payload, packet.begin() + static_cast<std::ptrdiff_t>(ip.size()));
    world_.send(packet);
  }

  void send_icmp(std::uint8_t code, std::uint16_t mtu) {
    fence();
    std::vector<std::uint8_t> icmp(8 + last_packet_.size());
    icmp[0] = 3;  // destination unreachable
    icmp[1] = code;
    store_be16(icmp, 6, mtu);
    std::ranges::copy(last_packet_, icmp.begin() + 8);
    store_be16(icmp, 2, wire::checksum(icmp));
    send_ip(wire::IpProtocol::kIcmp, icmp);
  }

  // Reads until all is there that the kernel sent before this call.
  void fence() {
    const std::uint16_t number = ++fences_;
    std::array<std::uint8_t, kEchoSize> echo{8, 0, 0, 0, 0x56, 0x54};
    store_be16(echo, 6, number);
    store_be16(echo, 2, wire::checksum(echo));
    send_ip(wire::IpProtocol::kIcmp, echo);
    const Time limit = now() + kLateness;
    while (echoed_ != number) {
      if (!read_one(limit))
        throw lab::LabError(Error{"the kernel does not answer an echo request"});
    }
    accept();
  }

  // False: nothing came until `limit`.
  bool read_one(Time limit) {
    const std::vector<std::uint8_t> packet = world_.receive(limit);
    if (packet.empty()) return false;
    const auto ip = wire::Ipv4View::parse(packet);
    if (!ip || ip->destination() != peer_) return true;  // of an earlier story
    const Bytes payload = ip->payload();
    if (ip->protocol() == wire::IpProtocol::kIcmp) {
      if (payload.size() >= kEchoSize && payload[0] == 0) echoed_ = load_be16(payload, 6);
      return true;
    }
    const auto tcp = wire::TcpView::parse(payload);
    if (!tcp) {
      ADD_FAILURE() << "the kernel sent a malformed segment";
      return true;
    }
    EXPECT_TRUE(tcp->verify_checksum(ip->source(), ip->destination()));
    last_packet_.assign(packet.begin(),
                        packet.begin() + std::min<std::ptrdiff_t>(kQuoted, std::ssize(packet)));
    const Bytes data = tcp->payload();
    sent_.push_back({tcp->fields(),
                     std::string(reinterpret_cast<const char*>(data.data()), data.size()), 0, false,
                     ip->ecn() == wire::Ecn::kEct0});
    return true;
  }

  KernelWorld& world_;
  Config config_;
  std::uint32_t iss_;
  wire::Ipv4Address peer_;
  lab::Fd listener_, socket_;
  std::optional<EndReason> reason_;
  std::vector<Sent> sent_;
  std::vector<std::uint8_t> last_packet_;
  std::uint16_t fences_ = 0, echoed_ = 0;
};

}  // namespace

std::unique_ptr<Subject> make_subject(const Config& config, std::uint32_t iss) {
  return std::make_unique<KernelSubject>(config, iss);
}

bool subject_is_kernel() noexcept {
  return true;
}

}  // namespace vtl::endpoint::script
