"""Answering for decisions: what they were made from, whether they come out again, what if not."""

from controller.explain.facts import circuit_facts, decision_facts, demand_facts
from controller.explain.replay import Replayed, replay
from controller.explain.whatif import Ran, questions_of_journal, questions_of_matrices, run

__all__ = [
    "Ran",
    "Replayed",
    "circuit_facts",
    "decision_facts",
    "demand_facts",
    "questions_of_journal",
    "questions_of_matrices",
    "replay",
    "run",
]
