"""``python -m models.registry``: one retraining, as the brain starts it."""

from models.registry.commands import retrain

retrain()
