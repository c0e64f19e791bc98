"""The pooled network: features, ONNX runtime, training, the shipped file's card."""

from models.neural.forecaster import OnnxForecaster, load_model, load_shipped_model

__all__ = ["OnnxForecaster", "load_model", "load_shipped_model"]
