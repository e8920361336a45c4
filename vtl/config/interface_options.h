// InterfaceOptions: one of the interface types with its options.
#pragma once

#include <variant>

#include "vtl/iface/af_packet.h"
#include "vtl/iface/pcap.h"
#include "vtl/iface/pcap_file.h"
#include "vtl/iface/qemu.h"
#include "vtl/iface/tap.h"

namespace vtl::config {

using InterfaceOptions = std::variant<iface::AfPacketOptions, iface::TapOptions, iface::PcapOptions,
                                      iface::PcapFileOptions, iface::QemuOptions>;

}  // namespace vtl::config
