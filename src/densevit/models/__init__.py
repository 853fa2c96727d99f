"""Networks: backbones and heads, how they are built, and their forms for deployment."""
