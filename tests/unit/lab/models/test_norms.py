"""The BN scales that network slimming shrinks."""

import pytest
from torch import nn

from pytest_prunecal.lab.models.norms import bn_scales, init_bn_scales
from pytest_prunecal.lab.models.preresnet import preresnet110
from pytest_prunecal.lab.models.resnet import resnet20
from pytest_prunecal.lab.models.vgg import vgg19


@pytest.mark.parametrize(("builder", "scales"), [(vgg19, 16), (resnet20, 19), (preresnet110, 109)])
def test_bn_scales_are_all_there_are(builder, scales):
    network = builder(width=0.25)
    init_bn_scales(network)
    found = bn_scales(network)
    assert len(found) == scales
    assert all((scale == 0.5).all() and scale.requires_grad for scale in found)
    own = {id(parameter) for parameter in network.parameters()}
    assert {id(scale) for scale in found} <= own
    init_bn_scales(network, 0.25)
    assert all((scale == 0.25).all() for scale in found)
    assert all((bn.bias == 0).all() for bn in network.modules() if isinstance(bn, nn.BatchNorm2d))
