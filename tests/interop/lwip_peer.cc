#include "tests/interop/lwip_peer.h"

#include <lwip/init.h>
#include <lwip/netif.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace {

// The library's time in milliseconds. Begins above 0, where some stacks keep "never".
std::uint32_t library_now = 1000;

}  // namespace

// The library calls this one instead of its own: a program's symbols come first.
extern "C" u32_t sys_now() {
  return library_now;
}

extern "C" const char* tcp_debug_state_str(enum tcp_state state);

namespace vtl::test {

struct LwipPeer::State {
  Options options;
  netif device{};
  tcp_pcb* listener = nullptr;
  tcp_pcb* connection = nullptr;
  ip_addr_t own{}, other{};
  std::vector<std::vector<std::uint8_t>> output;
  std::vector<std::uint8_t> received;
  std::size_t unread = 0;  // octets of the window that are still taken
  bool hold = false, at_end = false;
  int error = 0;

  static State& of(void* argument) { return *static_cast<State*>(argument); }

  err_t send_out(const pbuf* packet) {
    std::vector<std::uint8_t> bytes(packet->tot_len);
    pbuf_copy_partial(packet, bytes.data(), packet->tot_len, 0);
    output.push_back(std::move(bytes));
    return ERR_OK;
  }

  void adopt(tcp_pcb* pcb) {
    connection = pcb;
    tcp_arg(pcb, this);
    tcp_recv(pcb, [](void* argument, tcp_pcb*, pbuf* packet, err_t) -> err_t {
      return of(argument).take(packet);
    });
    tcp_err(pcb, [](void* argument, err_t reason) {
      State& self = of(argument);
      self.error = reason;
      self.connection = nullptr;  // the library has freed it
    });
  }

  err_t take(pbuf* packet) {
    if (packet == nullptr) {
      at_end = true;
      return ERR_OK;
    }
    const std::size_t before = received.size();
    received.resize(before + packet->tot_len);
    pbuf_copy_partial(packet, received.data() + before, packet->tot_len, 0);
    unread += packet->tot_len;
    pbuf_free(packet);
    free_window();
    return ERR_OK;
  }

  void free_window() {
    while (!hold && unread > 0 && connection != nullptr) {
      const auto part = static_cast<std::uint16_t>(std::min<std::size_t>(unread, 0xffff));
      tcp_recved(connection, part);
      unread -= part;
    }
  }

  void add_device() {
    const auto set_up = [](netif* device_) -> err_t {
      device_->name[0] = 'v';
      device_->name[1] = 't';
      device_->mtu = of(device_->state).options.mtu;
      device_->mtu6 = device_->mtu;
      device_->output = [](netif* from, pbuf* packet, const ip4_addr_t*) -> err_t {
        return of(from->state).send_out(packet);
      };
      device_->output_ip6 = [](netif* from, pbuf* packet, const ip6_addr_t*) -> err_t {
        return of(from->state).send_out(packet);
      };
      return ERR_OK;
    };
    ip4_addr_t address{}, mask{}, gateway{};
    const bool v6 = !options.own.address.is_v4();
    if (!v6) {
      address = *ip_2_ip4(&own);
      mask.addr = PP_HTONL(0xffffff00U);
    }
    if (netif_add(&device, &address, &mask, &gateway, this, set_up, netif_input) == nullptr) {
      throw std::runtime_error("lwIP takes no device");
    }
    if (v6) {
      netif_ip6_addr_set(&device, 0, ip_2_ip6(&own));
      netif_ip6_addr_set_state(&device, 0, IP6_ADDR_PREFERRED);
    }
    netif_set_default(&device);
    netif_set_up(&device);
    netif_set_link_up(&device);
  }
};

namespace {

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("lwIP: ") + what);
}

tcp_pcb* bound_pcb(const ip_addr_t& own, std::uint16_t port) {
  tcp_pcb* pcb = tcp_new_ip_type(IP_GET_TYPE(&own));
  require(pcb != nullptr, "no connection block");
  ip_set_option(pcb, SOF_REUSEADDR);
  require(tcp_bind(pcb, &own, port) == ERR_OK, "cannot bind");
  return pcb;
}

}  // namespace

LwipPeer::LwipPeer(const Options& options) : state_(std::make_unique<State>()) {
  static const bool kOnce = [] {
    lwip_init();
    return true;
  }();
  (void)kOnce;
  state_->options = options;
  require(ipaddr_aton(wire::to_string(options.own.address).c_str(), &state_->own) != 0, "address");
  require(ipaddr_aton(wire::to_string(options.other.address).c_str(), &state_->other) != 0,
          "address");
  state_->add_device();
}

LwipPeer::~LwipPeer() {
  State& s = *state_;
  if (s.connection != nullptr) tcp_abort(std::exchange(s.connection, nullptr));
  if (s.listener != nullptr) (void)tcp_close(s.listener);
  netif_remove(&s.device);
}

Time LwipPeer::now() {
  return Time{Duration{1ms} * library_now};
}

void LwipPeer::advance_to(Time now) {
  const auto to = static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  library_now = std::max(library_now, to);
  sys_check_timeouts();
  // A connection in TIME-WAIT is freed in silence: it is only looked at while it surely lives.
}

Time LwipPeer::poll_at() const {
  return now() + Duration{1ms} * sys_timeouts_sleeptime();
}

void LwipPeer::listen() {
  State& s = *state_;
  tcp_pcb* pcb = bound_pcb(s.own, s.options.own.port.value());
  s.listener = tcp_listen_with_backlog(pcb, 1);
  require(s.listener != nullptr, "cannot listen");
  tcp_arg(s.listener, &s);
  tcp_accept(s.listener, [](void* argument, tcp_pcb* pcb_, err_t error) -> err_t {
    if (error != ERR_OK || pcb_ == nullptr) return ERR_VAL;
    State::of(argument).adopt(pcb_);
    return ERR_OK;
  });
}

void LwipPeer::connect() {
  State& s = *state_;
  tcp_pcb* pcb = bound_pcb(s.own, s.options.own.port.value());
  s.adopt(pcb);
  const auto connected = [](void*, tcp_pcb*, err_t) -> err_t { return ERR_OK; };
  require(tcp_connect(pcb, &s.other, s.options.other.port.value(), connected) == ERR_OK,
          "cannot connect");
}

void LwipPeer::input(Bytes packet) {
  pbuf* buffer = pbuf_alloc(PBUF_RAW, static_cast<std::uint16_t>(packet.size()), PBUF_RAM);
  require(buffer != nullptr, "no buffer");
  pbuf_take(buffer, packet.data(), static_cast<std::uint16_t>(packet.size()));
  if (state_->device.input(buffer, &state_->device) != ERR_OK) pbuf_free(buffer);
}

std::vector<std::vector<std::uint8_t>> LwipPeer::take_output() {
  return std::exchange(state_->output, {});
}

std::size_t LwipPeer::send(Bytes data) {
  tcp_pcb* pcb = state_->connection;
  if (pcb == nullptr) return 0;
  const std::size_t size = std::min<std::size_t>(data.size(), tcp_sndbuf(pcb));
  if (size == 0) return 0;
  const err_t result =
      tcp_write(pcb, data.data(), static_cast<std::uint16_t>(size), TCP_WRITE_FLAG_COPY);
  (void)tcp_output(pcb);
  return result == ERR_OK ? size : 0;
}

std::vector<std::uint8_t> LwipPeer::receive() {
  return std::exchange(state_->received, {});
}

void LwipPeer::hold_reading(bool hold) {
  state_->hold = hold;
  state_->free_window();
}

bool LwipPeer::at_end() const {
  return state_->at_end;
}

void LwipPeer::shutdown() {
  if (state_->connection != nullptr) {
    require(tcp_shutdown(state_->connection, 0, 1) == ERR_OK, "cannot shut down");
  }
}

void LwipPeer::reset() {
  if (state_->connection != nullptr) tcp_abort(std::exchange(state_->connection, nullptr));
}

std::string LwipPeer::state() const {
  const tcp_pcb* pcb = state_->connection;
  return pcb == nullptr ? "CLOSED" : tcp_debug_state_str(pcb->state);
}

int LwipPeer::error() const {
  return state_->error;
}

}  // namespace vtl::test
