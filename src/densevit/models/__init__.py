"""Networks: backbones, heads, the ways weights enter and leave them."""
