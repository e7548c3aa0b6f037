// Multipliers of FPGA families as the generated Verilog uses them, for simulation only.
// Lattice FPGA-TN-02205 (MULT18X18D), AMD UG479 (DSP48E1).
//
// Clock enables and resets do what they do. Other pins and parameters have one setting that is modelled; under any
// other a product is inverted: a simulator of two states could take an unknown one for the right one.

// Input and output registers, no pipeline register.
module MULT18X18D #(
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE", REG_PIPELINE_CLK = "NONE", REG_OUTPUT_CLK = "NONE"
) (
    input
      A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input
      B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
    output
      P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17,
      P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  reg signed [17:0] a, b;
  reg signed [35:0] p;
  wire signed [17:0] next_a = {
      A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0
  };
  wire signed [17:0] next_b = {
      B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0
  };
  wire modelled = SIGNEDA && SIGNEDB && !SOURCEA && !SOURCEB && REG_INPUTA_CLK == "CLK0" &&
      REG_INPUTB_CLK == "CLK0" && REG_PIPELINE_CLK == "NONE" && REG_OUTPUT_CLK == "CLK0";
  assign {
      P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17,
      P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
  } = modelled ? p : ~p;
  always @(posedge CLK0) begin
    if (RST0) {a, b, p} <= 72'b0;
    else if (CE0) begin
      a <= next_a;
      b <= next_b;
      p <= a * b;
    end
  end
endmodule

// (A + D) x B with registers at A, B, D, behind the multiplier and at the output.
module DSP48E1 #(
    parameter AREG = 1, ACASCREG = 1, DREG = 1, ADREG = 0, BREG = 1, BCASCREG = 1, MREG = 1, PREG = 1, CREG = 0,
    parameter INMODEREG = 0, OPMODEREG = 0, ALUMODEREG = 0, CARRYINREG = 0, CARRYINSELREG = 0,
    parameter USE_DPORT = "TRUE", USE_MULT = "MULTIPLY", USE_SIMD = "ONE48", A_INPUT = "DIRECT", B_INPUT = "DIRECT"
) (
    input signed [29:0] A,
    input signed [24:0] D,
    input signed [17:0] B,
    input [47:0] C,
    input [4:0] INMODE,
    input [6:0] OPMODE,
    input [3:0] ALUMODE,
    input CARRYIN,
    input [2:0] CARRYINSEL,
    input CLK, CEA2, CEB2, CED, CEM, CEP, RSTA, RSTB, RSTD, RSTM, RSTP,
    output signed [47:0] P
);
  reg signed [24:0] a, d;
  reg signed [17:0] b;
  reg signed [42:0] m;
  reg signed [47:0] p;
  wire signed [24:0] ad = a + d;
  wire registers = AREG == 1 && ACASCREG == 1 && DREG == 1 && ADREG == 0 && BREG == 1 && BCASCREG == 1 && MREG == 1 &&
      PREG == 1 && CREG == 0 && INMODEREG == 0 && OPMODEREG == 0 && ALUMODEREG == 0 && CARRYINREG == 0 &&
      CARRYINSELREG == 0;
  wire parts = USE_DPORT == "TRUE" && USE_MULT == "MULTIPLY" && USE_SIMD == "ONE48" && A_INPUT == "DIRECT" &&
      B_INPUT == "DIRECT";
  wire modes = INMODE == 5'b00100 && OPMODE == 7'b0000101 && ALUMODE == 4'b0000 && !CARRYIN && CARRYINSEL == 3'b000;
  assign P = registers && parts && modes ? p : ~p;
  always @(posedge CLK) begin
    if (RSTA) a <= 25'b0; else if (CEA2) a <= A[24:0];
    if (RSTD) d <= 25'b0; else if (CED) d <= D;
    if (RSTB) b <= 18'b0; else if (CEB2) b <= B;
    if (RSTM) m <= 43'b0; else if (CEM) m <= ad * b;
    if (RSTP) p <= 48'b0; else if (CEP) p <= {{5{m[42]}}, m};
  end
endmodule
