"""The entries of whole layers, in the words of one format.

Names: D hidden, h heads, d width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras_vit.checkpoints.entries import LINEAR, SAME, Entry, Layout, reshaped


@dataclass(frozen=True, kw_only=True)
class LayerNames:
    """What a format appends to the name of a layer for each of its arrays.

    Args:
        kernel: of a dense layer.
        bias: of a dense layer.
        gamma: of a normalization.
        beta: of a normalization.
        kernel_layout: of kernels, (in, out) here.
        vector_layout: of biases, gammas and betas.
    """

    kernel: str
    bias: str
    gamma: str
    beta: str
    kernel_layout: Layout = SAME
    vector_layout: Layout = SAME

    def norm(self, ours: str, theirs: str) -> list[Entry]:
        """Return the entries of a normalization."""
        return [
            Entry(f"{ours}/gamma", (theirs + self.gamma,), self.vector_layout),
            Entry(f"{ours}/beta", (theirs + self.beta,), self.vector_layout),
        ]

    def dense(
        self,
        ours: str,
        *theirs: str,
        widths: tuple[int, ...] = (),
        kernel: Layout | None = None,
        bias: Layout | None = None,
    ) -> list[Entry]:
        """Return the entries of a dense layer.

        Args:
            ours: the layer.
            *theirs: the layer, or several that are side by side in ours.
            widths: of several.
            kernel: layout. Default None: that of the format.
            bias: layout. Default None: that of the format.
        """
        kernels = tuple(name + self.kernel for name in theirs)
        biases = tuple(name + self.bias for name in theirs)
        kernel, bias = kernel or self.kernel_layout, bias or self.vector_layout
        return [
            Entry(f"{ours}/kernel", kernels, kernel, widths=widths),
            Entry(f"{ours}/bias", biases, bias, widths=widths),
        ]

    def into_heads(self, dim: int, heads: int, ours: str, *theirs: str) -> list[Entry]:
        """Return the entries of queries, keys or values with an axis of heads.

        Kernels are (D, h, d) and biases (h, d); heads are beside each other here.
        """
        apart = (heads, dim // heads)
        kernel, bias = reshaped((dim, dim), (dim, *apart)), reshaped((dim,), apart)
        widths = (dim,) * len(theirs)
        return self.dense(ours, *theirs, widths=widths, kernel=kernel, bias=bias)

    def from_heads(self, dim: int, heads: int, ours: str, theirs: str) -> list[Entry]:
        """Return the entries of the output of attention, whose kernel is (h, d, D)."""
        kernel = reshaped((dim, dim), (heads, dim // heads, dim))
        return self.dense(ours, theirs, kernel=kernel)


TORCH = LayerNames(
    kernel=".weight",
    bias=".bias",
    gamma=".weight",
    beta=".bias",
    kernel_layout=LINEAR,
)
