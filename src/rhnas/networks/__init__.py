"""Networks as workloads: the zoo, ONNX import, and network spaces."""
