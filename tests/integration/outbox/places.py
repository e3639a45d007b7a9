"""Two clusters: orders are on `source`, and what is made of them is on `target`."""

SHOAL = {
    "CLUSTERS": {
        "source": {"MODELS": ["post.Order"]},
        "target": {"MODELS": ["post.Applied"]},
    }
}
