"""Every kernel against a float64 sum over all pairs of tokens, and the module around them."""

import numpy as np
import pytest
import torch

from densevit.models import attention
from densevit.models.attention import IMPLEMENTATIONS, MultiScaleAttention

KERNELS = sorted(IMPLEMENTATIONS)


def pairwise(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> np.ndarray:
    """out_n = sum_m v_m (k'_m . q'_n) / (sum_m k'_m . q'_n + 1e-15), token by token."""
    q, k, v = (tensor.detach().double().numpy() for tensor in (query, key, value))
    q, k = np.maximum(q, 0), np.maximum(k, 0)
    out = np.zeros_like(v)
    for batch, head in np.ndindex(q.shape[:2]):
        for n in range(q.shape[-1]):
            weights = (k[batch, head] * q[batch, head, :, n, None]).sum(0)
            out[batch, head, :, n] = (v[batch, head] * weights).sum(1) / (weights.sum() + 1e-15)
    return out


def random_heads(dim: int, tokens: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, dim, tokens, generator=generator) for _ in range(3)]


def close(got: torch.Tensor, expected: np.ndarray, tolerance: float) -> None:
    assert np.isfinite(got.detach().numpy()).all()
    assert np.abs(got.detach().double().numpy() - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [1, 5, 16, 17, 150])
def test_random(kernel, tokens):
    heads = random_heads(16, tokens)
    got = IMPLEMENTATIONS[kernel](*heads)
    assert got.shape == heads[2].shape
    assert got.dtype == torch.float32
    close(got, pairwise(*heads), 2e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [4, 40])
def test_double_stays_double(kernel, tokens):
    heads = [tensor.double() for tensor in random_heads(8, tokens)]
    got = IMPLEMENTATIONS[kernel](*heads)
    assert got.dtype == torch.float64
    close(got, pairwise(*heads), 1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("tokens", [4, 300])
def test_half_inputs_are_worked_on_in_fp32(kernel, dtype, tokens):
    # keys whose sum is above 65504, and fp32 accuracy of whatever the inputs were rounded to
    query, key, value = random_heads(8, tokens)
    heads = [tensor.to(dtype) for tensor in (query, 3e4 * key.clamp(-2, 2), value)]
    got = IMPLEMENTATIONS[kernel](*heads)
    assert got.dtype == torch.float32
    close(got, pairwise(*heads), 2e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [4, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_zero_queries_give_zeros_and_finite_gradients(kernel, tokens, dtype):
    query, key, value = (tensor.to(dtype) for tensor in random_heads(8, tokens))
    query[..., 1] = 0
    query[..., 2] = -1
    heads = [tensor.requires_grad_() for tensor in (query, key, value)]
    got = IMPLEMENTATIONS[kernel](*heads)
    assert (got[..., 1:3] == 0).all()
    assert (got[..., 0] != 0).any()
    (got**2).sum().backward()
    for tensor in heads:
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [4, 40])
def test_nothing_but_zeros(kernel, tokens):
    heads = [torch.zeros(1, 1, 8, tokens, requires_grad=True) for _ in range(3)]
    got = IMPLEMENTATIONS[kernel](*heads)
    assert (got == 0).all()
    got.sum().backward()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in heads)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [4, 400])
@pytest.mark.parametrize("scale", [1e-9, 1e9, 1e15])
def test_the_scale_of_the_keys_changes_nothing(kernel, tokens, scale):
    query, key, value = random_heads(8, tokens)
    got = IMPLEMENTATIONS[kernel](query, scale * key, value)
    close(got, pairwise(query, key, value), 1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("tokens", [3, 12])
def test_gradients_are_those_of_the_pairwise_sum(kernel, tokens):
    heads = [tensor[:1, :1].double().requires_grad_() for tensor in random_heads(4, tokens)]
    assert torch.autograd.gradcheck(IMPLEMENTATIONS[kernel], heads)


def test_auto_is_quadratic_up_to_as_many_tokens_as_dimensions(monkeypatch):
    called = []
    for name in ("linear_attention", "quadratic_attention"):
        kernel = getattr(attention, name)
        monkeypatch.setattr(attention, name, lambda *heads, k=kernel, n=name: called.append(n) or k(*heads))
    for tokens in (15, 16, 17):
        IMPLEMENTATIONS["auto"](*random_heads(16, tokens))
    assert called == ["quadratic_attention", "quadratic_attention", "linear_attention"]


def module(**options) -> MultiScaleAttention:
    torch.manual_seed(0)
    built = MultiScaleAttention(16, head_dim=8, **options)
    built.proj.norm.running_mean.normal_()
    built.proj.norm.running_var.uniform_(0.5, 2)
    return built.eval()


@pytest.mark.parametrize("size", [(2, 3), (9, 5)])
def test_implementations_of_the_module_agree(size):
    x = torch.randn(2, 16, *size, generator=torch.Generator().manual_seed(1))
    answers = [module(implementation=name)(x) for name in KERNELS]
    for answer in answers:
        assert answer.shape == x.shape
        torch.testing.assert_close(answer, answers[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_autocast_stays_outside_the_attention(kernel, monkeypatch):
    seen = []

    def spy(query, key, value):
        seen.append(torch.is_autocast_enabled("cpu"))
        # the products that autocast would take in bf16
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        return kept(query, key, value)

    kept = IMPLEMENTATIONS[kernel]
    monkeypatch.setitem(IMPLEMENTATIONS, kernel, spy)
    with torch.autocast("cpu", torch.bfloat16):
        module(implementation=kernel)(torch.randn(1, 16, 5, 5))
    assert seen == [False]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [(2, 2), (16, 16)])
def test_autocast_with_sums_that_fp16_cannot_hold(kernel, dtype, size):
    built = module(implementation=kernel, scales=())
    x = torch.randn(1, 16, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        # queries and keys below 65504, their sums and products not; values of the size of one
        weight = built.qkv.conv.weight.view(2, 3, 8, 16)
        weight[:, :2] *= 5e3
        expected = module_in_double(built, x)
        with torch.autocast("cpu", dtype):
            got = built(x)
    assert got.isfinite().all()
    rounding = torch.finfo(dtype).eps
    assert float((got.double() - expected).abs().max()) < 20 * rounding * float(expected.abs().max())


def module_in_double(built: MultiScaleAttention, x: torch.Tensor) -> torch.Tensor:
    kept = built.double()(x.double())
    built.float()
    return kept


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scales", [(), (3,), (5,), (3, 5)])
def test_gradients_reach_every_weight(kernel, scales):
    built = module(implementation=kernel, scales=scales).train()
    built(torch.randn(2, 16, 4, 4)).square().sum().backward()
    for name, weight in built.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.abs().sum() > 0, name


def test_without_global_attention_tokens_do_not_see_each_other():
    x = torch.randn(1, 16, 12, 12, generator=torch.Generator().manual_seed(1))
    changed = x.clone()
    changed[..., 0, 0] += 1
    local = module(global_attention=False)
    difference = (local(changed) - local(x)).abs().amax(1)[0]
    # the 5x5 aggregation reaches two positions
    assert (difference[:3, :3] > 0).any()
    assert (difference[3:] == 0).all()
    assert (difference[:, 3:] == 0).all()
    whole = module()
    assert ((whole(changed) - whole(x)).abs().amax(1)[0] > 0).all()


def test_channels_must_be_whole_heads():
    with pytest.raises(ValueError, match=r"multiple of head_dim 16, got 24"):
        MultiScaleAttention(24, head_dim=16)
