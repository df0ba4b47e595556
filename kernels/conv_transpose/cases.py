"""Named shapes, shared by the tests and the bench."""

from typing import NamedTuple


class Case(NamedTuple):
    """One layer: `op` maps [batch, size, size, inputs] to `outputs` channels."""

    name: str
    op: str  # "conv" or "conv_transpose"
    batch: int
    size: int  # height and width of the input, in pixels
    inputs: int
    outputs: int
    taps: int  # rows and columns of the kernel
    stride: int
    tags: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


CASES = (
    # The article's generator and discriminator at its smaller batch.
    Case("generator_1", "conv_transpose", 64, 7, 256, 128, 5, 1, ("bench",)),
    Case("generator_2", "conv_transpose", 64, 7, 128, 64, 5, 2, ("bench",)),
    Case("generator_3", "conv_transpose", 64, 14, 64, 3, 5, 2, ("bench",)),
    Case("discriminator_1", "conv", 64, 28, 3, 64, 5, 2, ("bench",)),
    Case("discriminator_2", "conv", 64, 14, 64, 128, 5, 2, ("bench",)),
    Case("up_one_channel", "conv_transpose", 1, 1, 1, 1, 1, 1, ("test",)),
    Case("up_odd", "conv_transpose", 2, 3, 5, 4, 5, 2, ("test",)),
    Case("up_even_taps", "conv_transpose", 3, 4, 2, 3, 4, 2, ("test",)),
    Case("up_wide_stride", "conv_transpose", 2, 3, 3, 2, 3, 3, ("test",)),
    Case("up_gaps", "conv_transpose", 1, 3, 2, 2, 2, 3, ("test",)),
    Case("down_odd", "conv", 2, 7, 3, 4, 5, 2, ("test",)),
    Case("down_even", "conv", 2, 6, 2, 3, 4, 2, ("test",)),
    Case("down_wide_stride", "conv", 1, 7, 2, 2, 2, 3, ("test",)),
    Case("flat", "conv", 3, 5, 4, 2, 3, 1, ("test",)),
    # What native.cc does apart: batches that fill a tile's rows, channels that fill its
    # columns or not, few channels in (taps merged) and out (scattered).
    Case("native_down", "conv", 15, 7, 9, 37, 5, 2, ("test", "native")),
    Case("native_few_in", "conv", 4, 8, 3, 33, 5, 2, ("test", "native")),
    Case("native_flat", "conv", 5, 6, 16, 32, 4, 1, ("test", "native")),
    Case("native_gaps", "conv", 4, 7, 2, 18, 2, 3, ("test", "native")),
    Case("native_up", "conv_transpose", 29, 4, 37, 17, 5, 2, ("test", "native")),
    Case("native_up_flat", "conv_transpose", 4, 5, 32, 40, 5, 1, ("test", "native")),
    Case("native_up_few", "conv_transpose", 6, 7, 12, 3, 5, 2, ("test", "native")),
    Case("native_up_more", "conv_transpose", 4, 5, 9, 5, 5, 2, ("test", "native")),
    Case("spectral", "conv", 16, 7, 64, 80, 5, 1, ("test", "native")),
    Case("spectral_even", "conv_transpose", 24, 6, 80, 66, 4, 1, ("test", "native")),
    Case("native_one_tap", "conv", 5, 8, 3, 16, 1, 2, ("test", "native")),
    Case("native_up_gaps", "conv_transpose", 4, 3, 9, 2, 2, 3, ("test", "native")),
)


def tagged(tag: str) -> tuple[Case, ...]:
    return tuple(case for case in CASES if tag in case.tags)
