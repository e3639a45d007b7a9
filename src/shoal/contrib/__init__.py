"""What connects Shoal with other packages, one each. None is imported unasked."""
