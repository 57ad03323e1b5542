"""What a network is compared with: null models that are trained like it, and predictions without any model."""
