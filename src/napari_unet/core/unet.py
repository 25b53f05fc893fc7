"""The U-Net of Ronneberger, Fischer & Brox, 2015 (arXiv:1505.04597, Fig. 1), and its loss.

Every convolution is *valid* (unpadded), so the output is smaller than the input by a fixed number
of pixels, the *context*::

    572 ─ conv ─ conv ─ 568 ············ copy and crop ············► 392 ─ conv ─ conv ─ 388 ─ 1x1
                         │ pool                                       ▲ up
                        284 ─ conv ─ conv ─ 280 ·· copy and crop · 200 ┘ ...
                                            └ ... 32 ─ conv ─ conv ─ 28 ┘
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.core.cellclasses import ANY_CELL
from napari_unet.core.leanpass import lean_pass
from napari_unet.errors import InputError

__all__ = ["UNet", "incoming_nodes", "output_size", "valid_size", "weighted_cross_entropy"]


def output_size(input_size: int, depth: int) -> int:
    """Return the output side of a valid U-Net, or 0 where ``input_size`` is not legal.

    Legal means that every 2x2 pooling meets an even side (Fig. 2: "select the input tile size such
    that all 2x2 max-pooling operations are applied to a layer with an even x- and y-size").
    """
    size = input_size
    for _ in range(depth):
        size -= 4  # two 3x3 convolutions
        if size <= 0 or size % 2:
            return 0
        size //= 2
    size -= 4
    for _ in range(depth):
        size = 2 * size - 4
        if size <= 0:
            return 0
    return max(size, 0)


def valid_size(at_least: int, depth: int) -> int:
    """Return the smallest legal input side >= ``at_least`` of a valid U-Net of this depth."""
    size = max(int(at_least), 5)
    while not output_size(size, depth):
        size += 1
    return size


def incoming_nodes(network: nn.Module) -> list[int]:
    """Return the paper's N, "the number of incoming nodes of one neuron", for each parameter."""
    return [
        _incoming(module)
        for module in network.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        for _ in module.parameters()
    ]


def _incoming(module: nn.Conv2d | nn.ConvTranspose2d) -> int:
    if isinstance(module, nn.ConvTranspose2d):
        return module.in_channels  # stride 2, kernel 2: an output pixel sees one input pixel
    return module.in_channels * module.kernel_size[0] * module.kernel_size[1]


class DoubleConv(nn.Sequential):
    """Two unpadded 3x3 convolutions, each followed by a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3),
            nn.ReLU(inplace=True),
        )


class UpConv(nn.ConvTranspose2d):
    """The 2x2 up-convolution that doubles the side and halves the channels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, in_channels // 2, kernel_size=2, stride=2)


class UNet(nn.Module):
    """The 2015 U-Net: valid convolutions, copy-and-crop, He initialisation, dropout.

    As in Ronneberger et al. 2015, section 2 and Fig. 1.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    n_classes : int
        Channels of the output, one per class.
    base_channels : int
        Channels of the first level; they double at every level (the paper: 64).
    depth : int
        Number of 2x2 max poolings (the paper: 4).

    Raises
    ------
    InputError
        If an argument is not positive, or, in `forward`, if the input has another number of
        channels or a side that a 2x2 pooling would not divide.

    Examples
    --------
    >>> UNet().valid_size(500), UNet().context, UNet().stride
    (508, 184, 16)
    """

    def __init__(
        self, in_channels: int = 1, n_classes: int = 2, base_channels: int = 64, depth: int = 4
    ) -> None:
        super().__init__()
        sizes = {"in_channels": in_channels, "n_classes": n_classes}
        sizes |= {"base_channels": base_channels, "depth": depth}
        for name, value in sizes.items():
            if value < 1:
                raise InputError(f"UNet {name} is {value}; give a positive number.")
        self.in_channels, self.n_classes = in_channels, n_classes
        self.base_channels, self.depth = base_channels, depth

        widths = [base_channels * 2**level for level in range(depth + 1)]  # 64 128 256 512 1024
        self.down = nn.ModuleList(
            DoubleConv(i, o) for i, o in zip([in_channels, *widths[:-2]], widths[:-1], strict=True)
        )
        self.bottom = DoubleConv(widths[-2], widths[-1])
        self.up = nn.ModuleList(UpConv(width) for width in reversed(widths[1:]))
        self.merge = nn.ModuleList(DoubleConv(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(base_channels, n_classes, 1)
        self.dropout = nn.Dropout(0.5)
        self._initialise()

    @property
    def context(self) -> int:
        """Pixels by which the output side is smaller than the input side (184 for depth 4)."""
        return 12 * self.stride - 8

    @property
    def stride(self) -> int:
        """Period of the pooling grid, ``2**depth``: tile origins must be multiples of it."""
        return 1 << self.depth

    def valid_size(self, at_least: int) -> int:
        """Return the smallest legal input side >= ``at_least``."""
        return valid_size(at_least, self.depth)

    def forward(self, image: Tensor) -> Tensor:
        """Map images (N, C, Y, X) to logits (N, n_classes, Y - context, X - context)."""
        self._check(image)
        if not self.training and not torch.is_grad_enabled():
            return lean_pass(self, image, in_strips=image.device.type == "cpu")
        return self.whole_pass(image)

    def whole_pass(self, image: Tensor) -> Tensor:
        """Do the same, whole maps at a time and without a look at sizes: it can be traced."""
        skips: list[Tensor] = []
        x = image
        for level, block in enumerate(self.down):
            x = block(x)  # channels double, side - 4
            if level == self.depth - 1:
                x = self.dropout(x)  # "at the end of the contracting path" (section 3.1)
            skips.append(x)
            x = F.max_pool2d(x, 2)  # side / 2
        x = self.dropout(self.bottom(x))  # side - 4
        for up, merge in zip(self.up, self.merge, strict=True):
            x = up(x)  # channels / 2, side * 2
            x = merge(torch.cat([_centre_crop(skips.pop(), x), x], dim=1))  # side - 4
        logits: Tensor = self.head(x)
        return logits

    def _initialise(self) -> None:
        """He initialisation: Gaussian weights of std sqrt(2 / N), N incoming nodes (section 3)."""
        for module in self.modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            assert module.bias is not None
            if module.weight.is_meta:
                continue  # without values; drawing none would bring torch's compiler, in a second
            nn.init.zeros_(module.bias)
            # the 1x1 head feeds a softmax, not a ReLU, but the paper makes no exception for it
            nn.init.normal_(module.weight, std=(2 / _incoming(module)) ** 0.5)

    def _check(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise InputError(
                f"The network takes images (N, {self.in_channels}, Y, X); "
                f"it was given shape {tuple(image.shape)}."
            )
        for axis, size in zip("YX", image.shape[2:], strict=True):
            if not output_size(size, self.depth):
                legal = self.valid_size(size)
                raise InputError(
                    f"{axis} = {size} pixels is not a legal input size of a U-Net of depth "
                    f"{self.depth}; the next legal sizes are {legal}, {legal + self.stride} and "
                    f"{legal + 2 * self.stride}."
                )


def _centre_crop(skip: Tensor, like: Tensor) -> Tensor:
    """Crop the border that the valid convolutions below lost ("copy and crop")."""
    y, x = ((s - t) // 2 for s, t in zip(skip.shape[2:], like.shape[2:], strict=True))
    return skip[:, :, y : y + like.shape[2], x : x + like.shape[3]]


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor, *, any_cell: bool = False
) -> Tensor:
    """Return the pixel-wise softmax cross entropy times the weight map (eq. 1), averaged.

    Parameters
    ----------
    logits : Tensor
        (N, K, Y, X) float.
    target : Tensor
        (N, Y, X) integer classes 0 ... K-1; any value where ``weight`` is 0.
    weight : Tensor
        (N, Y, X) float >= 0; 0 means "not labelled": the gradient there is exactly 0.
    any_cell : bool
        Whether a target may be `ANY_CELL`: there the probability of all classes but 0 counts, so
        that pixel says nothing about which of them it is.

    Returns
    -------
    Tensor
        The weighted sum divided by the number of pixels with a weight, a scalar.
    """
    labelled = weight > 0
    # ignore_index keeps unlabelled pixels out of the gradient exactly, whatever value they hold
    target = torch.where(labelled, target.long(), -100)
    if any_cell:
        told = F.log_softmax(logits, dim=1)
        cell = torch.logsumexp(told[:, 1:], dim=1, keepdim=True)
        target = torch.where(target == ANY_CELL, told.shape[1], target)
        loss = F.nll_loss(torch.cat([told, cell], 1), target, ignore_index=-100, reduction="none")
    else:
        loss = F.cross_entropy(logits, target, ignore_index=-100, reduction="none")
    return (loss * weight).sum() / labelled.sum().clamp(min=1)
