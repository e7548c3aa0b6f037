"""The shared read port: arbitration of bursts, requests in flight, the memory, and padding beside the data.

Up to three streams are open at once: the instruction fetch, one load of the compute module (micro-ops or
accumulators) and one of the load module (inputs or weights). Each offers one burst at a time to an arbiter of
fixed priority. Memory answers in order, one beat a cycle; it starts ``memory_delay`` cycles after a request
that finds it idle, and without a gap after one that finds others waiting (VME.scala, VTAMemDPI.scala).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rhnas.vta.compiled import compiled

FETCH, COMPUTE, LOAD = range(3)
"""Streams, by what opens them."""
NEVER = np.iinfo(np.int64).max >> 1

STREAM = np.dtype(
    [
        ("priority", np.int64),  # lower wins
        ("request_at", np.int64),  # first cycle in which the port can take the next burst; NEVER without one
        ("address", np.int64),  # of the current row, bytes
        ("row_bytes", np.int64),
        ("stride_bytes", np.int64),
        ("rows", np.int64),  # left, the current one included
        ("beat", np.int64),  # address of the next burst in beats
        ("beats", np.int64),  # left in the current row
        ("drain", np.int64),  # cycles from the last beat on the bus to the end of the instruction
        ("ends_at", np.int64),  # last cycle of the instruction; NEVER until all bursts are granted
        ("pad_from", np.int64),  # next cycle in which padding may write
        ("pads_before", np.int64),  # tensors of padding above and beside the rows
        ("pads_skip", np.int64),  # rows the padding passes over, a cycle each
        ("pads_after", np.int64),  # tensors of padding below
    ]
)

PORT = np.dtype(
    [
        ("oldest", np.int64),  # place of the oldest request in flight
        ("count", np.int64),  # requests in flight
        ("taken", np.int64),  # cycle in which memory took up the latest request
        ("beats", np.int64),  # of that request
    ]
)


class ReadPort(NamedTuple):
    """State of the port.

    Attributes:
        streams: STREAM (3,).
        port: PORT (1,).
        last_beat: int64 (outstanding_reads,): cycle of the last beat of each request in flight.
    """

    streams: NDArray[np.void]
    port: NDArray[np.void]
    last_beat: NDArray[np.int64]


def new_port(outstanding: int) -> ReadPort:
    """An idle port."""
    streams, port = np.zeros(3, dtype=STREAM), np.zeros(1, dtype=PORT)
    streams["request_at"] = streams["ends_at"] = NEVER
    port["taken"] = -1
    return ReadPort(streams, port, np.zeros(outstanding, dtype=np.int64))


@compiled
def open_stream(stream, priority, request_at, address, row_bytes, drain, laws):  # type: ignore[no-untyped-def]
    """Start a stream of one row and no padding; callers add what differs."""
    stream.priority, stream.request_at, stream.ends_at = priority, request_at, NEVER
    stream.address, stream.row_bytes, stream.stride_bytes = address, row_bytes, 0
    stream.rows, stream.drain = 1, drain
    stream.pads_before, stream.pads_skip, stream.pads_after = 0, 0, 0
    stream.pad_from = request_at
    _start_row(stream, laws)


@compiled
def _start_row(stream, laws):  # type: ignore[no-untyped-def]
    stream.beat = stream.address // laws.bus_bytes
    end = stream.address + stream.row_bytes
    stream.beats = (end + laws.bus_bytes - 1) // laws.bus_bytes - stream.beat


@compiled
def serve(read, now, until, laws):  # type: ignore[no-untyped-def]
    """Hand out the request slots of the cycles from ``now`` to ``until``, which is not included.

    Stops early after the last burst of a stream, whose end is known then; the cycle to go on from.
    """
    while now < until:
        chosen, wanted = _choose(read.streams, now)
        if chosen < 0:
            return wanted
        possible = _slot_free(read.port[0], read.last_beat, now, laws.return_delay)
        if possible > now:
            now = possible
            continue
        _issue(read, read.streams[chosen], now, laws)
        now += 1
        if read.streams[chosen].ends_at != NEVER:
            return now
    return now


@compiled
def _choose(streams, now):  # type: ignore[no-untyped-def]
    """The stream of highest priority that wants this cycle's slot, or -1 and when one will."""
    chosen, wanted = -1, NEVER
    for s in range(3):
        at = streams[s].request_at
        if at > now:
            wanted = min(wanted, at)
        elif chosen < 0 or streams[s].priority < streams[chosen].priority:
            chosen = s
    return chosen, wanted


@compiled
def _slot_free(port, last_beat, now, return_delay):  # type: ignore[no-untyped-def]
    """First cycle from ``now`` on in which the port can send a request."""
    while port.count > 0 and last_beat[port.oldest] < now:
        port.oldest = (port.oldest + 1) % len(last_beat)
        port.count -= 1
    if port.count == len(last_beat):
        return last_beat[port.oldest] + 1
    if port.count > 0 and last_beat[port.oldest] == now:
        return now + return_delay  # whether the port sends a request while it takes one back
    return now


@compiled
def _issue(read, stream, now, laws):  # type: ignore[no-untyped-def]
    """Send the stream's next burst to memory and reckon when its data come."""
    port = read.port[0]
    beats = min(stream.beats, laws.burst_beats - stream.beat % laws.burst_beats)
    taken = port.taken + port.beats
    if now > port.taken:  # nothing waits in memory: the delay starts anew
        taken = max(taken, now + laws.memory_delay + 1)
    port.taken, port.beats = taken, beats
    read.last_beat[(port.oldest + port.count) % len(read.last_beat)] = taken + beats
    port.count += 1
    written = taken + stream.drain  # the first beat's cycle into the scratchpad; it ends one cycle after
    _pad(stream, written, beats)
    stream.beat += beats
    stream.beats -= beats
    stream.request_at = now + laws.request_interval
    if stream.beats == 0:
        stream.rows -= 1
        if stream.rows == 0:
            stream.request_at = NEVER
            left = stream.pads_before + stream.pads_skip + stream.pads_after
            padded_at = stream.pad_from + left - laws.padding_ahead
            stream.ends_at = max(taken + beats + stream.drain, padded_at)
        else:
            stream.address += stream.stride_bytes
            _start_row(stream, laws)


@compiled
def _pad(stream, first, beats):  # type: ignore[no-untyped-def]
    """Let padding use the cycles before the data written from ``first`` on."""
    free = first - stream.pad_from
    if free > 0:
        used = min(free, stream.pads_before)
        stream.pads_before -= used
        skipped = min(free - used, stream.pads_skip)
        stream.pads_skip -= skipped
        stream.pads_after -= min(free - used - skipped, stream.pads_after)
    if stream.pads_before == 0:
        stream.pads_skip -= min(beats, stream.pads_skip)
    stream.pad_from = first + beats
