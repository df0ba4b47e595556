"""Reading programs: one that is written here, and real ones of four CPU devices."""

import jax
import jax.numpy as jnp
import pytest

from launch.ahead import bound, failures, program, targets
from launch.ahead.chips import CHIPS
from launch.ahead.products import Layer, Work

WRITTEN = """HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add.9 = f32[] add(%a, %b)
}

%until.1 (p.1: (s32[], f32[8])) -> pred[] {
  %constant.8 = s32[]{:T(128)} constant(5), metadata={op_name="jit(_fun)/shard_map"}
  %p.1 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %turn.1 = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  ROOT %lt.57 = pred[]{:T(512)} compare(%turn.1, %constant.8), direction=LT, backend_config={"flag_configs":[]}
}

%body.1 (p.2: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p.2 = (s32[]{:T(128)}, f32[8]{0:T(128)}) parameter(0)
  %sent.1 = f32[8]{0:T(128)} get-tuple-element(%p.2), index=1
  ROOT %all-to-all.1 = f32[8]{0:T(128)} all-to-all(%sent.1)
}

%begun.1 (p.3: f32[1,4]) -> (f32[1,4], f32[8,4]) {
  %p.3 = f32[1,4]{1,0} parameter(0)
  %permute.1 = f32[8,4]{1,0} collective-permute(%p.3), channel_id=1, frontend_attributes={chain_id="0"}
  ROOT %custom-call.9 = (f32[1,4]{1,0}, f32[8,4]{1,0}) custom-call(%permute.1), custom_call_target="AsyncCollectiveStart"
}

%further.1 (p.4: f32[1,4]) -> f32[8,4] {
  %p.4 = f32[1,4]{1,0} parameter(0)
  %permute.2 = f32[8,4]{1,0} collective-permute(%p.4), channel_id=1, frontend_attributes={chain_id="0"}
  ROOT %custom-call.8 = f32[8,4]{1,0} custom-call(%p.4, %permute.2), custom_call_target="AsyncCollectiveDone"
}

ENTRY %main.1 (p.0: f32[256]) -> f32[256] {
  %p.0 = f32[256]{0:T(256)} parameter(0)
  %act.1 = f32[256]{0:T(256)} tanh(%p.0), metadata={op_name="jit(f)/jvp(Net)/tanh"}
  %fast.1 = f32[9999]{0:T(256)S(1)} broadcast(%p.0), metadata={op_name="x"}
  %view.1 = f32[16,16]{1,0} bitcast(%act.1)
  %tmp.1 = bf16[256]{0} negate(%p.0), metadata={op_name="jit(f)/transpose(jvp(Net))/n"}
  %all-reduce.1 = (f32[256]{0}, f32[]{:T(128)}) all-reduce(%tmp.1, /*index=1*/%act.1), to_apply=%sum
  %gather-start.1 = (f32[64]{0}, f32[256]{0}) all-gather-start(%tmp.1)
  %while.1 = (s32[]{:T(128)}, f32[8]{0:T(128)S(1)}) while(%start.1), condition=%until.1, body=%body.1, metadata={op_name="jit(_fun)/shard_map/while"}
  %begin.1 = (f32[1,4]{1,0:S(1)}, f32[8,4]{1,0:S(1)}) fusion(%p.0), kind=kCustom, calls=%begun.1
  %done.1 = f32[8,4]{1,0:S(1)} fusion(%begin.1), kind=kCustom, calls=%further.1
  ROOT %out.1 = f32[256]{0} add(%view.1, %view.1)
}
"""  # noqa: E501


def test_collectives_and_their_bytes():
    reduced, gathered, in_turns, spread = program.collectives(WRITTEN)
    assert reduced == ("all-reduce", 1, 256 * 4 + 4)
    assert in_turns == ("all-to-all", 5, 5 * 8 * 4)  # in a loop as libtpu writes one
    assert spread == ("collective-permute", 1, 8 * 4 * 4)  # and one beside other work
    assert gathered == ("all-gather", 1, (64 + 256) * 4 // 2)


def test_what_the_forward_pass_left_at_the_fullest_moment():
    # Fullest at the gather or after: tanh's 1,024 bytes live to the end through the
    # bitcast; the on-chip array does not count.
    reduced, gathered = 1024 + 4, 64 * 4 + 1024
    alive = 1024 + 512 + reduced + gathered
    assert program.forward_share(WRITTEN) == pytest.approx(1024 / alive, abs=0.2)
    assert program.size_of("(f32[2,3]{1,0}, bf16[4]{0:S(1)})") == 32
    assert program.size_of("(f32[2,3]{1,0}, bf16[4]{0:S(1)})", main_memory=True) == 24


def test_a_real_program_of_four_devices():
    """A mean in a loop, as where D is updated several times, and one after it."""

    def step(w, x):
        def loss(w):
            h = x
            for _ in range(5):
                h = jnp.tanh(h @ w)
            return h.sum()

        def update(w, _):
            return w - jax.lax.pmean(jax.grad(loss)(w), "batch"), None

        return update(jax.lax.scan(update, w, length=3)[0], None)[0]

    stepped = jax.pmap(step, axis_name="batch")
    text = (
        stepped.lower(jnp.zeros((4, 8, 8)), jnp.zeros((4, 512, 8))).compile().as_text()
    )
    (found,) = program.collectives(text)
    assert found == ("all-reduce", 4, 4 * 8 * 8 * 4)
    # Five layers' outputs wait for the way back.
    assert program.forward_share(text) > 0.5


def test_the_bound_is_the_slowest_of_three():
    sums = [program.Collective("all-reduce", 3, 1_000_000)]
    found = bound.of(CHIPS["v5e"], 4, Work(0.97e9, 1e9), 8_190_000, sums)
    assert found.matrix_unit == pytest.approx(1e-5)
    assert found.memory == pytest.approx(2e-5)
    assert found.network == pytest.approx(1.5e6 / 200e9)
    assert (found.seconds, found.set_by) == (found.memory, "memory")
    alone = bound.of(CHIPS["v5e"], 1, Work(1e12, 0), 1, [])
    assert (alone.set_by, alone.network) == ("matrix unit", 0)
    # A card computes twice as much in bfloat16 as in TF32.
    card = bound.of(CHIPS["h100"], 1, Work(494.7e9, 989.4e9), 1, [])
    assert card.matrix_unit == pytest.approx(2e-3)


LAYER = Layer("Net/Dense_0", "f32[9,9]", 3 * 2**29)
# Lines of libtpu and XLA as they were printed.
HBM = (
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
    "temporaries (82.62G) exceeds available HBM (15.75G)."
)
VMEM = (
    "RESOURCE_EXHAUSTED: Allocation (size=268435456) would exceed memory "
    "(size=134217728) :: space=vmem, tag 'input window allocation for operator "
    'input 0\', op_name="jit(f)/jvp(Lstm)/Layer_0/pallas_call"'
)


def test_out_of_memory_is_a_sentence_with_a_layer_and_a_way_out():
    place = targets.find("v5e-8")
    told = failures.sentence(HBM, LAYER, place, "launch/run preflight x")
    assert told is not None
    assert "asks for 82.62G of 15.75G" in told
    assert "f32[9,9], 1.50 GiB, of Net/Dense_0" in told
    assert "smaller --batch-size" in told
    told = failures.sentence(VMEM, LAYER, place, "…")
    assert told is not None
    assert "asks for 256 MiB of 128" in told
    assert "a kernel of Lstm/Layer_0 does not fit into the on-chip" in told
    assert "VMEM" in told
    scoped = (
        "RESOURCE_EXHAUSTED: CompileTimeScopedVmemOom: Scoped allocation with size "
    )
    told = failures.sentence(
        f"{scoped}17.02M and limit 16.00M exceeded", LAYER, place, ""
    )
    assert told is not None
    assert "asks for 17.02M of 16.00M" in told
    assert "a kernel does not fit" in told
    assert LAYER.name not in told  # the largest array, and not the kernel's layer
    assert failures.sentence("INTERNAL: a bug", LAYER, place, "…") is None
