// What cut_through.bpf.c and cut_through.cc keep in common: the maps' keys and values. C and C++.
//
// Every structure is without padding: the kernel compares keys octet by octet.
#pragma once

#include <linux/types.h>

#define VTL_CUT_WAYS 2

/// One direction of a flow, as a frame of it arrives. Addresses and ports in network byte order; an
/// IPv4 address is the first word, the others are 0.
struct vtl_cut_key {
  __u32 ifindex;  ///< the device that it arrives at
  __u8 mac[6];    ///< its destination
  __u8 protocol;
  __u8 version;  ///< 4 or 6
  __u32 source[4];
  __u32 destination[4];
  __u16 source_port;
  __u16 destination_port;
};

struct vtl_cut_flow {
  __u32 target;    ///< the device that it leaves from
  __u32 way;       ///< of vtl_cut_ways
  __u64 frames;    ///< a super-frame counts once
  __u64 octets;    ///< of payload
  __u64 last_use;  ///< nanoseconds of CLOCK_MONOTONIC
};

/// By direction, for all flows, also those that are gone; one copy for each processor.
struct vtl_cut_way {
  __u64 frames;
  __u64 bytes;
};

struct vtl_cut_state {
  __u64 until;                  ///< nanoseconds of CLOCK_MONOTONIC: later, nothing is cut through
  __u32 longest[VTL_CUT_WAYS];  ///< octets of a frame that the target's MTU admits, by way
  __u32 host_frames;            ///< the sockets read frames to the host's own MAC too
  __u32 reserved;
};
