"""Networks: what turns pixels into numbers. `base` says what they offer."""
