"""Networks in plain PyTorch, and the worker that trains one of them: what Thaw is compared with."""
