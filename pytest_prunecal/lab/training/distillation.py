"""Distillation: a network learns from another's logits, besides the labels.

Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def distilled(
    logits: Tensor,
    labels: Tensor,
    taught: Tensor,
    *,
    temperature: float,
    soft: float,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss `(1 - soft) CE(y, p) + soft T^2 KL(q_T || p_T)`.

    Here p is the softmax of the logits, p_T that of the logits divided by T, and q_T that of the teacher's
    divided by T. The soft targets' gradients shrink as 1 / T^2, which the factor T^2 makes up for (section
    2); their cross-entropy, of which the paper speaks, differs from KL by what the network has no part in.

    Args:
        logits: float32 (N, classes).
        labels: int64 (N,).
        taught: the teacher's logits, float32 (N, classes), without gradients.
        temperature: T > 0.
        soft: what the teacher counts, in [0, 1].
        label_smoothing: of the labels' part, in [0, 1).

    Returns:
        float32 (), the mean over the images.

    Example:
        >>> import torch
        >>> logits, labels = torch.tensor([[1.0, 2.0]]), torch.tensor([1])
        >>> loss = distilled(logits, labels, logits, temperature=4.0, soft=0.9)
        >>> torch.isclose(loss, 0.1 * functional.cross_entropy(logits, labels)).item()
        True
    """
    hard = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    ours = functional.log_softmax(logits / temperature, dim=1)
    theirs = functional.log_softmax(taught / temperature, dim=1)
    from_teacher = functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return (1 - soft) * hard + soft * temperature**2 * from_teacher
