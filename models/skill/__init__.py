"""What forecasts are worth: calibration, weighing of experts, drift."""
