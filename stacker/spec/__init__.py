"""The spec language: text in, frozen values out. It knows neither files nor donors nor tensors' bytes."""
