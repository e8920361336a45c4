// UdtEnding: ends attempts to connect over UDT that nobody wants any more.
//
// Theory of operation. libudt's receiving thread completes an attempt when the answer arrives:
// it takes the socket off its list of attempts (CRendezvousQueue), makes its buffers, and at last
// tells the management of sockets that it is connected. A socket that is closed between the first
// and the last of these is not found there, which is an exception where none may be thrown, and the
// end of the process. There is no lock for it. And an attempt that libudt has given up (3 s after
// connect(), or at once when the wall clock is set forward) can not be closed any more: its state
// stays "connecting", but close() no longer takes it off the list, and the receiving thread would
// go on reading it after it was freed.
//
// So an attempt ends in two steps. First it is told to receive synchronously: from then on the
// receiving thread leaves answers in a queue (of at most 17) in place of completing the attempt.
// Then, when what the receiving thread may have begun has had its time, the socket is closed;
// sooner if it is connected by then. A thread of its own looks every 10 ms, and 30 times: a machine
// that stands still stops the count too. Whoever ends an attempt later than 2.5 s after connect()
// may come too late; such a socket is left alone until the process ends, and counted.
//
// Bounds: as many attempts end at a time as are begun within the third of a second that it takes.
// Thread rule: any thread.
#pragma once

namespace vtl::transport {

/// Ends the attempt to connect of `socket`, whose state is CONNECTING; returns at once.
void end_udt_attempt(int socket);

/// Ends the thread. Whether libudt holds none of the attempts any more, so that it may be cleaned
/// up.
[[nodiscard]] bool stop_ending_udt_attempts();

}  // namespace vtl::transport
