"""Random instruction streams that the machine allows, for any configuration."""

from dataclasses import replace

import numpy as np

from rhnas.vta.config import AcceleratorConfig
from rhnas.vta.isa import Alu, AluOp, Finish, Gemm, Instruction, Load, Memory, Store, assemble
from rhnas.vta.program import Program, Segment

DRAM_BYTES = 1 << 16
CODE_ADDRESS = 1 << 20


def depth(config: AcceleratorConfig, memory: Memory) -> int:
    return {
        Memory.UOP: config.uop_depth,
        Memory.INP: config.inp_depth,
        Memory.WGT: config.wgt_depth,
    }.get(memory, config.acc_depth)


def element_bytes(config: AcceleratorConfig, memory: Memory) -> int:
    return {
        Memory.UOP: 4,
        Memory.INP: config.inp_tensor_bytes,
        Memory.WGT: config.wgt_tensor_bytes,
        Memory.ACC: config.acc_tensor_bytes,
    }.get(memory, config.out_tensor_bytes)


def random_load(rng: np.random.Generator, config: AcceleratorConfig, memory: Memory) -> Load:
    room, available = depth(config, memory), DRAM_BYTES // element_bytes(config, memory)
    pads = (0, 0, 0, 0)
    if memory is not Memory.UOP and room >= 64 and rng.random() < 0.5:
        pads = tuple(int(p) for p in rng.integers(0, 3, 4))
    y_size = int(rng.integers(1, min(6, max(2, room // 16)) + 1))
    width = room // (y_size + pads[0] + pads[1]) - pads[2] - pads[3]
    x_size = int(rng.integers(1, max(1, min(width, 20)) + 1)) if width >= 1 else 1
    if (x_size + pads[2] + pads[3]) * (y_size + pads[0] + pads[1]) > room:
        y_size, x_size, pads = 1, 1, (0, 0, 0, 0)
    used = (x_size + pads[2] + pads[3]) * (y_size + pads[0] + pads[1])
    x_stride = int(rng.integers(x_size, x_size + 5))
    span = x_stride * (y_size - 1) + x_size
    return Load(
        memory_type=memory,
        sram_base=int(rng.integers(0, room - used + 1)),
        dram_base=int(rng.integers(0, max(1, available - span))),
        y_size=y_size,
        x_size=x_size,
        x_stride=x_stride,
        y_pad_0=pads[0],
        y_pad_1=pads[1],
        x_pad_0=pads[2],
        x_pad_1=pads[3],
        is_pad_min_value=bool(rng.random() < 0.3),
    )


def micro_ops(rng: np.random.Generator, config: AcceleratorConfig, count: int) -> np.ndarray:
    """Micro-ops with small indices, so that a few loop steps stay within every scratchpad."""
    a, i = config.acc_index_bits, config.inp_index_bits
    limit = [max(1, depth(config, memory) // 2) for memory in (Memory.ACC, Memory.INP, Memory.WGT)]
    dst, src, wgt = (rng.integers(0, min(n, 1 << 12), count) for n in limit)
    return (dst | src << a | wgt << (a + i)).astype(np.uint32)


def random_loop(rng: np.random.Generator, config: AcceleratorConfig, kernel: int) -> dict[str, int]:
    begin = int(rng.integers(0, kernel))
    return {
        "uop_bgn": begin,
        "uop_end": int(rng.integers(begin + 1, kernel + 1)),
        "iter_out": int(rng.integers(1, 4)),
        "iter_in": int(rng.integers(1, 5)),
    }


def factors(rng: np.random.Generator, config: AcceleratorConfig, names: dict[str, Memory]) -> dict[str, int]:
    chosen = {}
    for name, memory in names.items():
        most = depth(config, memory) // 16
        for level in ("out", "in"):
            chosen[f"{name}_factor_{level}"] = int(rng.integers(0, most + 1)) if most else 0
    return chosen


def random_compute(rng: np.random.Generator, config: AcceleratorConfig, kernel: int) -> Instruction:
    kind = rng.integers(4)
    if kind == 0:
        memory = Memory.ACC if rng.random() < 0.5 else Memory.ACC_8BIT
        return random_load(rng, config, memory)
    loop = random_loop(rng, config, kernel)
    if kind < 3:
        names = {"dst": Memory.ACC, "src": Memory.INP, "wgt": Memory.WGT}
        return Gemm(**loop, **factors(rng, config, names), reset=bool(rng.random() < 0.2))
    return Alu(
        **loop,
        **factors(rng, config, {"dst": Memory.ACC}),
        alu_opcode=AluOp(int(rng.integers(7))),
        use_imm=bool(rng.random() < 0.5),
        imm=int(rng.integers(-100, 100)),
    )


def random_program(seed: int, config: AcceleratorConfig, rounds: int = 4) -> Program:
    """Rounds of loads, computation and stores, each round behind the tokens of the one before."""
    rng = np.random.default_rng(seed)
    memory = rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
    kernel = min(8, config.uop_depth)
    uops = micro_ops(rng, config, kernel)
    memory[: 4 * kernel] = uops.view(np.uint8)
    stream: list[Instruction] = []
    for turn in range(rounds):
        first, last = turn == 0, {"push_next": True}
        loads = [random_load(rng, config, Memory.INP if rng.random() < 0.5 else Memory.WGT) for _ in range(3)]
        stream += _chain(loads, {} if first else {"pop_next": True}, last)
        computes: list[Instruction] = [Load(memory_type=Memory.UOP, x_size=kernel, x_stride=kernel)]
        computes += [random_compute(rng, config, kernel) for _ in range(int(rng.integers(2, 7)))]
        pops = {"pop_prev": True} | ({} if first else {"pop_next": True})
        stream += _chain(computes, pops, {"push_next": True, "push_prev": True})
        stream += _chain([random_store(rng, config)], {"pop_prev": True}, {"push_prev": True})
    stream.append(Finish(pop_next=True))
    return Program(
        config=config,
        instructions=assemble(stream, config),
        segments=(Segment(name="memory.bin", address=0, content=memory),),
    )


def random_store(rng: np.random.Generator, config: AcceleratorConfig) -> Store:
    room = config.out_depth
    y_size = int(rng.integers(1, 4))
    x_size = int(rng.integers(1, max(2, min(30, room // y_size))))
    if x_size * y_size > room:
        y_size = x_size = 1
    half = DRAM_BYTES // 2 // config.out_tensor_bytes
    x_stride = int(rng.integers(x_size, x_size + 4))
    return Store(
        sram_base=int(rng.integers(0, room - x_size * y_size + 1)),
        dram_base=half + int(rng.integers(0, half - x_stride * y_size)),
        y_size=y_size,
        x_size=x_size,
        x_stride=x_stride,
    )


def _chain(
    instructions: list[Instruction], pops: dict[str, bool], pushes: dict[str, bool]
) -> list[Instruction]:
    instructions[0] = replace(instructions[0], **pops)
    instructions[-1] = replace(instructions[-1], **pushes)
    return instructions


def single_programs(seed: int, config: AcceleratorConfig) -> list[Program]:
    """One random instruction of every kind, each alone with the FINISH that waits for it."""
    rng = np.random.default_rng(seed)
    uops = micro_ops(rng, config, min(8, config.uop_depth))
    memory = rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
    memory[: 4 * len(uops)] = uops.view(np.uint8)
    streams: list[list[Instruction]] = [
        [replace(random_load(rng, config, kind), push_next=True), Finish(pop_prev=True)]
        for kind in (Memory.INP, Memory.WGT)
    ]
    streams += [[random_load(rng, config, m), Finish()] for m in (Memory.UOP, Memory.ACC, Memory.ACC_8BIT)]
    streams.append([replace(random_store(rng, config), push_prev=True), Finish(pop_next=True)])
    loop = random_loop(rng, config, len(uops))
    for reset in (False, True):
        streams.append([Gemm(**loop, reset=reset), Finish()])
    for use_imm in (False, True):
        streams.append([Alu(**loop, alu_opcode=AluOp.ADD, use_imm=use_imm, imm=1), Finish()])
    syncs = int(rng.integers(0, 150))
    streams.append([*[Load(memory_type=Memory.ACC, x_size=0)] * syncs, Finish()])
    segment = Segment(name="memory.bin", address=0, content=memory)
    return [Program(config=config, instructions=assemble(s, config), segments=(segment,)) for s in streams]


def contending_program(seed: int, config: AcceleratorConfig) -> Program:
    """Padded loads of many short bursts by both modules at once, without tokens, beside instruction fetch."""
    rng = np.random.default_rng(seed)
    stream: list[Instruction] = []
    for _ in range(int(rng.integers(4, 30))):
        kind = Memory(int(rng.choice([Memory.INP, Memory.WGT, Memory.UOP, Memory.ACC, Memory.ACC_8BIT])))
        load = random_load(rng, config, kind)
        if rng.random() < 0.5:
            pads = tuple(int(p) for p in rng.integers(0, 8, 4)) if kind is not Memory.UOP else (0, 0, 0, 0)
            width = 1 + int(rng.integers(4)) + pads[2] + pads[3]
            rows = depth(config, kind) // width - pads[0] - pads[1]
            if rows >= 1:
                load = replace(
                    load,
                    sram_base=0,
                    dram_base=int(rng.integers(8)),
                    y_size=int(rng.integers(1, min(rows, 60) + 1)),
                    x_size=width - pads[2] - pads[3],
                    x_stride=int(rng.integers(width, width + 12)),
                    y_pad_0=pads[0],
                    y_pad_1=pads[1],
                    x_pad_0=pads[2],
                    x_pad_1=pads[3],
                )
        stream.append(load)
    waits = [Load(memory_type=Memory.INP, x_size=0, push_next=True), Finish(pop_prev=True)]
    memory = rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
    return Program(
        config=config,
        instructions=assemble([*stream, *waits], config),
        segments=(Segment(name="memory.bin", address=0, content=memory),),
    )


def sharing_program(seed: int, config: AcceleratorConfig, rounds: int = 6) -> Program:
    """Long loads beside long stores of computed tensors, with no token between the two."""
    rng = np.random.default_rng(seed)
    memory = rng.integers(0, 256, DRAM_BYTES, dtype=np.uint8)
    width = min(64, config.out_depth, config.inp_depth)
    memory[: 4 * width] = np.arange(width, dtype=np.uint32).view(np.uint8)  # micro-op k: tensor k
    whole = {"x_size": width, "x_stride": width}
    half = DRAM_BYTES // 2 // config.out_tensor_bytes
    stream: list[Instruction] = [
        Load(memory_type=Memory.UOP, **whole),
        Load(memory_type=Memory.ACC, **whole),
        Alu(uop_end=width, alu_opcode=AluOp.ADD, use_imm=True, imm=1, push_next=True),
    ]
    for turn in range(rounds):
        stream.append(Load(memory_type=Memory.INP, push_next=turn == rounds - 1, **whole))
        ends = {"pop_prev": turn == 0, "push_prev": turn == rounds - 1}
        stream.append(Store(dram_base=half + turn * width, **whole, **ends))
    stream.append(Finish(pop_prev=True, pop_next=True))
    return Program(
        config=config,
        instructions=assemble(stream, config),
        segments=(Segment(name="memory.bin", address=0, content=memory),),
    )
