"""The ONNX converter, which runs in an environment of its own."""
