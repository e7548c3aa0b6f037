// Drives one verilated accelerator: control registers, memory, and nothing else. Called through ctypes.
//
// The memory model is that of the public RTL's simulation (VTAMemDPIToAXI) and of `rhnas.vta.simulate.port`: read
// requests queue, and memory takes one up when the one before has given its last beat and a counter has reached
// `latency`; the counter runs while requests wait (and holds there, so that requests back to back pay once). Beats
// follow from the next cycle on, one a cycle, in order. Writes have no latency. With `burst_beats` memory rests for a
// cycle after so many beats of a burst, read or written, unless the burst ends with them; 0 is no limit. With `shared`
// reads and writes have one data port: in a cycle in which a beat is written none is read, so writes go first, and a
// read that waits cannot hold up the write that it waits for. `stall` makes every handshake wait at random. A burst of
// beats with one in the 4 KB from `fault` on is answered by a slave error.
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>

#include "Vaccelerator.h"
#include "Vaccelerator___024root.h"
#include "verilated.h"

namespace {

constexpr uint64_t kSettleCycles = 4;
constexpr unsigned kSlaveError = 2;
constexpr uint64_t kFaultBytes = 4096;

struct Request {
  uint64_t address;
  unsigned beats;
};

struct Behaviour {
  unsigned latency, burst_beats;
  bool shared;
  unsigned stall;
  uint64_t seed, fault;
};

// Lets the next rising edge be seen without an evaluation at the low level, where Verilator's model is known; whether it
// is. Nothing happens at that level but what follows from changed inputs.
template <class Root>
bool forget_high_clock(Root *root) {
  if constexpr (requires { root->__Vtrigprevexpr___TOP__clk__0; }) {
    root->__Vtrigprevexpr___TOP__clk__0 = 0;
    return true;
  }
  return false;
}

// The pieces that memory cuts a burst into, and the cycle of rest between two of them.
class Pieces {
 public:
  explicit Pieces(unsigned beats) : beats_(beats) {}

  bool resting() const { return resting_; }

  void cycle(bool moved, bool last) {
    resting_ = moved && !last && ++served_ == beats_;
    if (resting_ || (moved && last)) served_ = 0;
  }

 private:
  unsigned beats_, served_ = 0;
  bool resting_ = false;
};

class Machine {
 public:
  Machine(uint8_t *dram, uint64_t dram_bytes, const Behaviour &memory)
      : dram_(dram),
        dram_bytes_(dram_bytes),
        memory_(memory),
        random_(memory.seed | 1),
        read_pieces_(memory.burst_beats),
        write_pieces_(memory.burst_beats) {
    context_ = std::make_unique<VerilatedContext>();
    top_ = std::make_unique<Vaccelerator>(context_.get());
    top_->rst = 1;
    for (uint64_t i = 0; i < kSettleCycles; ++i) cycle(true);
    top_->rst = 0;
  }

  void write(unsigned address, uint32_t value) {
    top_->s_axi_awvalid = top_->s_axi_wvalid = 1;
    top_->s_axi_awaddr = address;
    top_->s_axi_wdata = value;
    top_->s_axi_bready = 1;
    top_->eval();
    bool taken = top_->s_axi_awready;
    cycle();
    while (!taken) {
      top_->eval();
      taken = top_->s_axi_awready;
      cycle();
    }
    top_->s_axi_awvalid = top_->s_axi_wvalid = 0;
    cycle(true);
  }

  uint32_t read(unsigned address) {
    top_->s_axi_arvalid = 1;
    top_->s_axi_araddr = address;
    top_->s_axi_rready = 1;
    cycle(true);
    top_->s_axi_arvalid = 0;
    while (!top_->s_axi_rvalid) cycle(true);
    uint32_t value = top_->s_axi_rdata;
    cycle(true);
    return value;
  }

  // One cycle; `touched` says that inputs other than those of the memory port have changed since the last evaluation.
  void cycle(bool touched = false) {
    bool changed = offer() || touched;
    if (changed || !forget_high_clock(top_->rootp)) {
      top_->clk = 0;
      top_->eval();
    }
    settle();
    top_->clk = 1;
    top_->eval();
  }

  bool out_of_range() const { return out_of_range_; }

 private:
  bool stalls() {
    if (memory_.stall == 0) return false;
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ % 100 < memory_.stall;
  }

  // What the memory shows the accelerator in this cycle; of what the accelerator shows it only `wvalid`, a register's.
  // Whether that is anything else than in the cycle before.
  bool offer() {
    const auto before = shown();
    top_->m_axi_rvalid = current_.beats > 0 && !read_pieces_.resting() && !stalls();
    if (top_->m_axi_rvalid) {
      std::memcpy(&top_->m_axi_rdata, at(current_.address), kBusBytes);
      top_->m_axi_rlast = current_.beats == 1;
    }
    top_->m_axi_rresp = faulty(current_.address) ? kSlaveError : 0;
    top_->m_axi_arready = reads_.size() < 256 && !stalls();
    top_->m_axi_awready = !writing_ && !responding_ && !stalls();
    top_->m_axi_wready = writing_ && !write_pieces_.resting() && !stalls();
    if (memory_.shared && top_->m_axi_wready && top_->m_axi_wvalid) top_->m_axi_rvalid = 0;
    top_->m_axi_bvalid = responding_ && !stalls();
    top_->m_axi_bresp = write_failed_ ? kSlaveError : 0;
    return top_->m_axi_rvalid || shown() != before;
  }

  std::array<uint8_t, 8> shown() const {
    return {top_->m_axi_rvalid, top_->m_axi_rlast,  top_->m_axi_rresp,  top_->m_axi_arready,
            top_->m_axi_awready, top_->m_axi_wready, top_->m_axi_bvalid, top_->m_axi_bresp};
  }

  // What was handed over in this cycle.
  void settle() {
    bool read = top_->m_axi_rvalid && top_->m_axi_rready;
    if (read) {
      current_.address += kBusBytes;
      --current_.beats;
    }
    read_pieces_.cycle(read, current_.beats == 0);
    if (!reads_.empty() && waited_ < memory_.latency) {
      ++waited_;
    } else if (!reads_.empty() && current_.beats == 0) {
      current_ = reads_.front();
      reads_.pop_front();
    }
    if (top_->m_axi_arvalid && top_->m_axi_arready)
      reads_.push_back({top_->m_axi_araddr, top_->m_axi_arlen + 1u});
    if (reads_.empty()) waited_ = 0;
    if (top_->m_axi_bvalid && top_->m_axi_bready) responding_ = false;
    bool written = top_->m_axi_wvalid && top_->m_axi_wready;
    if (written) put();
    write_pieces_.cycle(written, !writing_);
    if (top_->m_axi_awvalid && top_->m_axi_awready) {
      writing_ = true;
      write_failed_ = false;
      write_address_ = top_->m_axi_awaddr;
    }
  }

  bool faulty(uint64_t address) const {
    return address >= memory_.fault && address < memory_.fault + kFaultBytes;
  }

  void put() {
    write_failed_ |= faulty(write_address_);
    uint8_t beat[kBusBytes];
    std::memcpy(beat, &top_->m_axi_wdata, kBusBytes);
    uint64_t strobe = top_->m_axi_wstrb;
    uint8_t *target = at(write_address_);
    for (unsigned i = 0; i < kBusBytes; ++i)
      if (strobe >> i & 1) target[i] = beat[i];
    write_address_ += kBusBytes;
    if (top_->m_axi_wlast) {
      writing_ = false;
      responding_ = true;
    }
  }

  uint8_t *at(uint64_t address) {
    if (address + kBusBytes <= dram_bytes_) return dram_ + address;
    out_of_range_ = true;
    return spare_;
  }

  static constexpr unsigned kBusBytes = BUS_BYTES;
  uint8_t *dram_;
  uint64_t dram_bytes_;
  Behaviour memory_;
  uint64_t random_;
  Pieces read_pieces_, write_pieces_;
  std::unique_ptr<VerilatedContext> context_;
  std::unique_ptr<Vaccelerator> top_;
  Request current_ = {0, 0};
  std::deque<Request> reads_;
  unsigned waited_ = 0;
  bool writing_ = false, responding_ = false, write_failed_ = false, out_of_range_ = false;
  uint64_t write_address_ = 0;
  uint8_t spare_[kBusBytes] = {};
};

}  // namespace

// Runs launches one after the other on one machine; tells of the last one. `registers` has `count` values a launch.
// Returns 0 when FINISH came, 1 when it did not come in time, 2 when memory was accessed out of range.
extern "C" int run_program(uint8_t *dram, uint64_t dram_bytes, const uint32_t *registers, const uint32_t *addresses,
                           unsigned count, unsigned launches, unsigned latency, unsigned burst_beats, unsigned shared,
                           unsigned stall, uint64_t seed, uint64_t fault, uint64_t max_cycles, uint32_t *cycles,
                           uint32_t *status) {
  Machine machine(dram, dram_bytes, {latency, burst_beats, shared != 0, stall, seed, fault});
  bool done = true;
  for (unsigned launch = 0; launch < launches && done; ++launch) {
    for (unsigned i = 0; i < count; ++i) machine.write(addresses[i], registers[launch * count + i]);
    machine.write(0, 1);
    done = false;
    for (uint64_t i = 0; i < max_cycles && !done; i += 64) {
      for (unsigned j = 0; j < 64; ++j) machine.cycle();
      done = machine.read(0) & 2;
    }
  }
  *cycles = machine.read(4);
  *status = machine.read(0x24);
  return machine.out_of_range() ? 2 : done ? 0 : 1;
}
