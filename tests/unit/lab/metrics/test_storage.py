"""How finished networks are stored: bytes, and the share of weights in 8 bits."""

import warnings

import pytest
import torch
from torch import nn

from pytest_prunecal.lab.metrics.storage import int8_share, stored_bytes


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 6, bias=False))


def test_bytes_are_those_of_parameters_and_buffers_each_once():
    found = network()
    floats = 4 * 27 + 4 + 4 * 4 + 24
    assert stored_bytes(found) == 4 * floats + 8  # and the number of batches, of int64
    assert stored_bytes(found.half()) == 2 * floats + 8
    shared = nn.Linear(4, 4)
    assert stored_bytes(nn.Sequential(shared, shared)) == 4 * 20
    assert stored_bytes(nn.ReLU()) == 0


def test_a_network_of_floats_has_no_weights_in_8_bits():
    assert int8_share(network()) == int8_share(nn.ReLU()) == 0.0


def test_weights_in_8_bits_count_by_their_number():
    found = network()
    found[0].weight = nn.Parameter(torch.ones(4, 3, 3, 3, dtype=torch.int8), requires_grad=False)
    assert int8_share(found) == 108 / (108 + 24)
    found.RANKED = (nn.Conv2d,)
    assert int8_share(found) == 1.0


def test_layers_that_torch_quantised_are_looked_into():
    plain = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
    assert int8_share(quantised) == 1.0
    assert 40 <= stored_bytes(quantised) < 0.6 * stored_bytes(plain)


def test_tensors_of_torchao_are_looked_into():
    torchao = pytest.importorskip("torchao.quantization", reason="torchao is nobody's extra")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = torchao.Int8WeightOnlyConfig(version=2)
        quantised = nn.Sequential(nn.Linear(64, 32, bias=False))
        torchao.quantize_(quantised, config)
    assert int8_share(quantised) == 1.0
    assert 64 * 32 <= stored_bytes(quantised) < 2 * 64 * 32
