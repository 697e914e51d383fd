"""The NAM WaveNet in float64 numpy, written sample by sample from the format's description."""

import numpy as np


def forward(config, weights, x):
    """A .nam WaveNet `config` and its weight stream over x [T], zeros before the first sample."""
    stream = iter(np.asarray(weights, np.float64))

    def take(*shape):
        return np.array([next(stream) for _ in range(int(np.prod(shape)))]).reshape(shape)

    y, total = x[None].astype(np.float64), 0.0
    for array in config["layers"]:
        channels, bottleneck = array["channels"], array.get("bottleneck", array["channels"])
        h = take(channels, array["input_size"]) @ y
        for kernel_size, dilation in zip(array["kernel_sizes"], array["dilations"], strict=True):
            kernel, bias = take(bottleneck, channels, kernel_size), take(bottleneck)
            mixin = take(bottleneck, array["condition_size"])
            z = convolve(kernel, h, dilation) + bias[:, None] + mixin @ x[None]
            a = np.where(z > 0, z, 0.01 * z)
            layer1x1, layer1x1_bias = take(channels, bottleneck), take(channels)
            h = h + layer1x1 @ a + layer1x1_bias[:, None]
            total = total + a
        head = array["head"]
        kernel = take(head["out_channels"], bottleneck, head["kernel_size"])
        total = convolve(kernel, total, 1)
        if head["bias"]:
            total = total + take(head["out_channels"])[:, None]
        y = h
    (head_scale,) = take(1)
    assert next(stream, None) is None
    return head_scale * total[0]


def convolve(kernel, x, dilation):
    """Causal, zeros before the first sample: [O, I, K], [I, T] -> [O, T]."""
    taps, length = kernel.shape[-1], x.shape[1]
    result = np.zeros((kernel.shape[0], length))
    for k in range(taps):
        lag = (taps - 1 - k) * dilation
        if lag < length:
            result[:, lag:] += kernel[:, :, k] @ x[:, : length - lag]
    return result
