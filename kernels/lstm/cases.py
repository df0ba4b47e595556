"""Named shapes, shared by the tests and the bench of every backend."""

from typing import NamedTuple

from kernels import target
from kernels.lstm.spec import Case


class Shape(NamedTuple):
    """One call of `lstm`. Its arrays are made by whoever uses it."""

    name: str
    time: int
    batch: int
    features: int
    hidden: int
    projected: int = 0  # columns of the projection; 0 is none
    peephole: bool = False
    lengths: bool = False
    resets: bool = False
    h_mask: bool = False
    reverse: bool = False
    tags: tuple[str, ...] = ("test",)

    def __str__(self) -> str:
        return self.name

    def case(self, dtype: str = "float32") -> Case:
        """What a backend is asked about it, on the platform that calls are made for."""
        return Case(
            batch=self.batch,
            time=self.time,
            features=self.features,
            hidden=self.hidden,
            projected=self.projected or self.hidden,
            dtype=dtype,
            peephole=self.peephole,
            projection=bool(self.projected),
            lengths=self.lengths,
            resets=self.resets,
            h_mask=self.h_mask,
            reverse=self.reverse,
            platform=target.platform(),
        )


CASES = (
    Shape("smallest", 1, 1, 1, 1),
    Shape("one_row", 5, 1, 3, 2),
    Shape("odd", 7, 3, 5, 3),
    Shape("beyond_a_lane", 3, 2, 4, 129),
    Shape("many_rows", 4, 17, 3, 5),
    Shape("reversed", 6, 3, 2, 4, reverse=True),
    Shape("ragged", 7, 4, 3, 5, lengths=True),
    Shape("peepholes", 5, 3, 3, 4, peephole=True),
    Shape("projected", 5, 3, 3, 6, projected=4),
    Shape("everything", 9, 4, 3, 6, 4, True, True, True, True, False),
    Shape("everything_reversed", 9, 4, 3, 6, 4, True, True, True, True, True),
    Shape("masked", 9, 4, 3, 6, 0, False, True, True, True, False),
    Shape("masked_reversed", 9, 4, 3, 6, 0, False, True, True, True, True),
    # More rows than a thread's tile, cells that do not fill a vector.
    Shape("tall", 5, 33, 4, 37, 0, False, False, True, True, False),
    # Many steps of many rows, cells beyond a vector's and a lane's, a wide input.
    Shape("sums_in_chunks", 40, 20, 5, 70, 0, False, True, True, True, tags=("sizes",)),
    Shape("wide_input", 3, 17, 520, 130, h_mask=True, tags=("sizes",)),
    Shape("wide_input_row", 5, 1, 520, 130, reverse=True, tags=("sizes",)),
    Shape("beyond_a_vector", 33, 5, 7, 129, tags=("sizes",)),
    Shape("rows_and_cells", 40, 17, 96, 200, tags=("sizes",)),
    Shape("many_cells", 2, 3, 5, 640, tags=("sizes",)),
    Shape("many_steps", 1024, 4, 32, 128, tags=("sizes",)),
    # The shapes that CPU speed is judged by.
    Shape("words", 100, 64, 256, 256, tags=("bench",)),
    Shape("words_wide", 35, 20, 650, 650, tags=("bench",)),
    Shape("pixels", 784, 32, 8, 128, tags=("bench",)),
    Shape("one_stream", 128, 1, 512, 512, tags=("bench",)),
    Shape("picture_rows", 28, 128, 84, 256, tags=("bench",)),
    # What is compiled for TPUs: features are apart from the kernels, and play no part.
    # Three steps are two blocks, of two copies of the step; nine are of eight, and a
    # compilation takes that many times as long.
    Shape("tpu_words", 3, 64, 1, 512, tags=("tpu",)),
    Shape("tpu_many_rows", 3, 320, 1, 256, tags=("tpu",)),
    Shape("tpu_odd", 3, 3, 1, 100, peephole=True, tags=("tpu",)),
    Shape("tpu_all", 9, 12, 1, 256, 0, True, True, True, True, True, ("tpu",)),
    Shape("tpu_projected", 3, 20, 1, 200, 130, True, True, True, True, tags=("tpu",)),
    # What wh resident in VMEM is limited by, in bfloat16: 16, 64 and 128 MiB.
    Shape("tpu_1024", 3, 8, 1, 1024, tags=("tpu",)),
    Shape("tpu_2048", 2, 8, 1, 2048, tags=("tpu_64_mib",)),
    Shape("tpu_2560", 2, 8, 1, 2560, tags=("tpu_128_mib",)),
    # What is compiled for an H100: one cluster, a grid, all multiprocessors.
    Shape("gpu_128", 64, 16, 1, 128, tags=("gpu",)),
    Shape("gpu_256", 64, 64, 1, 256, tags=("gpu",)),
    Shape("gpu_512", 64, 128, 1, 512, tags=("gpu",)),
    Shape("gpu_768", 64, 16, 1, 768, tags=("gpu", "gpu_float16")),
    Shape("gpu_1024", 64, 64, 1, 1024, tags=("gpu",)),
    Shape("gpu_1024_wide", 64, 128, 1, 1024, tags=("gpu",)),
    Shape("gpu_odd", 35, 20, 1, 650, lengths=True, reverse=True, tags=("gpu",)),
    Shape("gpu_all", 64, 12, 1, 256, 0, True, True, True, True, True, ("gpu",)),
    Shape("gpu_masks", 64, 64, 1, 1024, 0, False, True, True, True, tags=("gpu",)),
    # What is the fused cell's, one kernel a step.
    Shape("cell_512", 8, 64, 1, 512, tags=("gpu_cell",)),
    Shape("cell_one_row", 8, 1, 1, 100, tags=("gpu_cell",)),
    Shape("cell_all", 8, 20, 1, 650, 100, True, True, True, True, tags=("gpu_cell",)),
)


def tagged(tag: str) -> tuple[Shape, ...]:
    return tuple(case for case in CASES if tag in case.tags)
